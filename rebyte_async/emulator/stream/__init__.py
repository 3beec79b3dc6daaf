"""The event stream: from what an agent said to bytes on the wire."""
