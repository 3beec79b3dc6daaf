"""The two origins that the emulator listens on: their sockets and their endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from ssl import SSLContext

from aiohttp import web
from attrs import define, field

from rebyte_async.emulator.endpoints import agent_computers, artifacts, events, files, tasks, webhooks
from rebyte_async.emulator.exchange import Connection, Exchange
from rebyte_async.emulator.gateway import Gateway, Route
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.service import State

_BACKLOG = 4096
_SHUTDOWN_TIMEOUT = 1.0


async def _get_health(_state: State, _exchange: Exchange) -> web.Response:
    # `GET /health`, outside the API and without a key (contract §1, observed).
    return json_response({"status": "ok"})


API = (
    *agent_computers.ROUTES,
    *tasks.ROUTES,
    *events.ROUTES,
    *files.ROUTES,
    *artifacts.ROUTES,
    *webhooks.ROUTES,
    Route("GET", "/health", None, _get_health),
)

# The storage has the API's endpoints as well, for requests that were redirected to it.
STORAGE = (*files.STORAGE_ROUTES, *artifacts.STORAGE_ROUTES, *API)


class ConnectionServer(web.Server):
    """aiohttp's server, which also numbers its connections and reports when one is lost.

    aiohttp itself could stop a handler when its client has gone, but then a request that the client gave up on would
    be left half done; a real service completes it.
    """

    def __init__(
        self, handle: Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]], numbers: Iterator[int]
    ) -> None:
        super().__init__(self._handle, access_log=None)
        self._handle_request = handle
        self._numbers = numbers
        self._open: dict[web.RequestHandler, Connection] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._open[handler] = Connection(next(self._numbers), transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        connection = self._open.pop(handler, None)
        if connection is not None:
            connection.lose()
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._handle_request(request, self._open.get(request.protocol) or Connection(0))


@define(eq=False)
class Server:
    """Listens for both origins on one host: the API, and the storage that signed URLs and redirects lead to."""

    host: str
    port: int
    state: Callable[[], State]
    origins: dict[str, str]
    ssl: SSLContext | None = None
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)
    _runners: list[web.ServerRunner] = field(factory=list[web.ServerRunner], init=False)

    async def start(self) -> None:
        """Start listening, or raise an `OSError` if the port is taken or the host isn't this machine's."""
        await self._listen("api", API, self.port)
        await self._listen("storage", STORAGE, 0)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _listen(self, origin: str, routes: tuple[Route, ...], port: int) -> None:
        server = ConnectionServer(Gateway(origin, routes, self.state), self._numbers)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self.host, port, backlog=_BACKLOG, ssl_context=self.ssl).start()
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.ssl is None else "https"
        self.origins[origin] = f"{scheme}://{host}:{runner.addresses[0][1]}"
