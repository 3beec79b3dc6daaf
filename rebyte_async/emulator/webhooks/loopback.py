"""Addresses of this machine: the emulator connects to no other."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

_ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def is_loopback(host: str | None) -> bool:
    """Return whether a URL's host is this machine, by name or by address, without asking a name server."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class LoopbackResolver(AbstractResolver):
    """Resolves this machine's own names to its loopback addresses, and no others, whatever the system's settings."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name, or raise an `OSError` if it isn't this machine's."""
        if not is_loopback(host):
            raise OSError(f"{host} isn't this machine")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=known, proto=0, flags=socket.AI_NUMERICHOST)
            for known, address in _ADDRESSES.items()
            if family in (known, socket.AF_UNSPEC)
        ]

    async def close(self) -> None:
        """Do nothing: the resolver holds no resources."""
