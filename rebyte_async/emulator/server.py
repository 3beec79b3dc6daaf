"""The two origins that the emulator listens on: their sockets and their endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from http import HTTPStatus
from ipaddress import ip_address
from itertools import count
from ssl import SSLContext
from typing import Any

from aiohttp import web
from attrs import define, field
from yarl import URL

from rebyte_async.emulator.endpoints import agent_computers, artifacts, control, events, files, tasks, webhooks
from rebyte_async.emulator.exchange import Connection, Exchange
from rebyte_async.emulator.gateway import Gateway, Route
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.service import State

_BACKLOG = 4096
_SHUTDOWN_TIMEOUT = 1.0
_TURNS_TO_ACCEPT = 4
"""How often the event loop turns until it has taken a waiting connection: asyncio leaks one that it is just taking."""


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


class RefusingHandler(web.RequestHandler):
    """aiohttp's handler of a connection, which passes on what its parser refuses instead of printing a traceback."""

    def __init__(self, server: ConnectionServer) -> None:
        # A body is taken as it was sent: the contract has no encoded ones.
        settings: dict[str, Any] = {"access_log": None, "auto_decompress": False}
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._server = server

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        return self._server.refuse(request, message or "")

    def log_exception(self, *args: Any, exc_info: BaseException | None = None, **kw: Any) -> None:
        # A malformed body has got its response; aiohttp comes upon it once more when it skips what is left of it.
        if not isinstance(exc_info, web.RequestPayloadError):
            super().log_exception(*args, exc_info=exc_info, **kw)


class ConnectionServer(web.Server):
    """aiohttp's server, which also numbers its connections and reports when one is lost.

    aiohttp itself could stop a handler when its client has gone, but then a request that the client gave up on would
    be left half done; a real service completes it.
    """

    def __init__(self, gateway: Gateway, numbers: Iterator[int]) -> None:
        super().__init__(self._handle)
        self._gateway = gateway
        self._numbers = numbers
        self._open: dict[web.RequestHandler, Connection] = {}

    def __call__(self) -> web.RequestHandler:
        return RefusingHandler(self)

    def refuse(self, request: web.BaseRequest, reason: str) -> web.Response:
        """Make the response to a request that isn't HTTP as the parser takes it; the connection ends with it."""
        return self._gateway.refuse(request, self._find_connection(request), reason)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._open[handler] = Connection(next(self._numbers), transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        connection = self._open.pop(handler, None)
        if connection is not None:
            connection.lose()
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._gateway(request, self._find_connection(request))

    def _find_connection(self, request: web.BaseRequest) -> Connection:
        return self._open.get(request.protocol) or Connection(0)


@define(eq=False)
class Server:
    """Listens for both origins on one host: the API, and the storage that signed URLs and redirects lead to."""

    host: str
    ports: tuple[int, int]
    """The ports of the API and of the storage; 0 for a free one."""
    state: Callable[[], State]
    origins: dict[str, str]
    ssl: SSLContext | None = None
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)
    _runners: list[web.ServerRunner] = field(factory=list[web.ServerRunner], init=False)

    async def start(self) -> None:
        """Start listening, or raise an `OSError` if the port is taken or the host isn't this machine's."""
        await self._listen("api", (*API, *control.ROUTES), self.ports[0])
        await self._listen("storage", STORAGE, self.ports[1])

    async def stop(self) -> None:
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _listen(self, origin: str, routes: tuple[Route, ...], port: int) -> None:
        server = ConnectionServer(Gateway(origin, routes, self.state), self._numbers)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self.host, port, backlog=_BACKLOG, ssl_context=self.ssl).start()
        address, port = runner.addresses[0][:2]
        scheme = "http" if self.ssl is None else "https"
        self.origins[origin] = str(URL.build(scheme=scheme, host=_find_reachable(self.host, address), port=port))


def _find_reachable(host: str, address: str) -> str:
    """Return a host that leads to an address: the one for all of them is no destination."""
    if not ip_address(address).is_unspecified:
        return host
    return "::1" if ":" in address else "127.0.0.1"
