"""The sockets that the emulator listens on."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define, field

from rebyte_async.emulator.connections import ConnectionServer
from rebyte_async.emulator.gateway import Gateway
from rebyte_async.emulator.routes import API, STORAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rebyte_async.emulator.router import Router
    from rebyte_async.emulator.service import State

_BACKLOG = 4096
_SHUTDOWN_TIMEOUT = 1.0


@define(eq=False)
class Server:
    """Two origins on one host: the API, and the storage that signed URLs and redirects lead to."""

    host: str
    port: int
    state: Callable[[], State]
    origins: dict[str, str]
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)
    _runners: list[web.ServerRunner] = field(factory=list[web.ServerRunner], init=False)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken, or the host isn't this machine's.
        """
        await self._listen("api", API, self.port)
        await self._listen("storage", STORAGE, 0)

    async def stop(self) -> None:
        """Stop listening, and close every connection."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _listen(self, origin: str, router: Router, port: int) -> None:
        server = ConnectionServer(Gateway(origin, router, self.state), self._numbers)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self.host, port, backlog=_BACKLOG).start()
        self.origins[origin] = _url(self.host, runner.addresses[0][1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
