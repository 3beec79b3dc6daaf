"""Event streams: frames and how they are sent."""
