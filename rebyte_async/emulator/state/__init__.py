"""The nouns of the emulated service."""
