"""What is on this machine: the emulator dials nothing else."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

_ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def is_loopback(host: str | None) -> bool:
    """Whether a URL's host is this machine, by its name or by its address; no name server is asked."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class LoopbackResolver(AbstractResolver):
    """Finds this machine under its own names, and nothing under any other, whatever the system's settings say."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            OSError: It isn't this machine's.
        """
        if not is_loopback(host):
            raise OSError(f"{host} isn't this machine")
        families = [known for known in _ADDRESSES if family in (known, socket.AF_UNSPEC)]
        return [_found(host, port, known) for known in families]

    async def close(self) -> None:
        """There is nothing to close."""


def _found(host: str, port: int, family: socket.AddressFamily) -> ResolveResult:
    address = _ADDRESSES[family]
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
