"""The connections that clients have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator


@define(eq=False)
class Connection:
    """A connection; what is answered on it outlives it, unless `on_lost` says otherwise."""

    number: int
    on_lost: Callable[[], object] | None = None


class ConnectionServer(web.Server):
    """aiohttp's server, which also numbers its connections and tells streams of the end of theirs.

    aiohttp itself could stop a handler when its client has gone, but then a request that the client gave up on would
    be left half done; a real service does it all the same.
    """

    def __init__(
        self, answer: Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]], numbers: Iterator[int]
    ) -> None:
        super().__init__(self._handle, access_log=None)
        self._answer = answer
        self._numbers = numbers
        self._open: dict[web.RequestHandler, Connection] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Number a new connection."""
        self._open[handler] = Connection(next(self._numbers))
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Tell whoever wants to know, and forget the connection."""
        connection = self._open.pop(handler, None)
        if connection is not None and connection.on_lost is not None:
            connection.on_lost()
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._answer(request, self._open.get(request.protocol) or Connection(0))
