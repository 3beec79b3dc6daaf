"""What the emulated service remembers."""
