"""What goes over the wire, as values and pure functions: no socket, no clock, no aiohttp."""
