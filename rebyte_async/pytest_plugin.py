"""Pytest fixtures for applications that use the SDK: an emulator, and a client that talks to it."""
