"""The connections of clients: numbered, watched for their loss, and broken on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rebyte_async.emulator.frames import CutManner

# A client that learns of a broken connection may throw away what it had received but not read. What was sent before
# a cut should count, so the client gets a moment to read it.
_DELAY_BEFORE_CUT = 0.01
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@define(eq=False)
class Connection:
    """A client's connection. A handler outlives it unless `on_lost` stops the handler."""

    number: int
    _transport: asyncio.Transport | None = None
    on_lost: Callable[[], object] | None = None
    is_dropped: bool = field(default=False, init=False)
    """Whether the emulator broke it."""

    def abort(self, *, reset: bool = True) -> None:
        """Break the connection: by a reset, or by closing it in the middle of what was being sent."""
        self.is_dropped = True
        if self._transport is None:
            return
        if not reset:
            self._transport.close()
            return
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def cut(self, manner: CutManner) -> None:
        """End a body before its time; a `clean` cut leaves the connection alone, and the body ends as if whole."""
        if manner != "clean":
            await asyncio.sleep(_DELAY_BEFORE_CUT)
            self.abort(reset=manner == "reset")

    def lose(self) -> None:
        """Take note that the connection has ended."""
        self._transport = None
        if self.on_lost is not None:
            self.on_lost()


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
        """Number a new connection."""
        self._open[handler] = Connection(next(self._numbers), transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Report the loss to the handler that asked for it, and forget the connection."""
        connection = self._open.pop(handler, None)
        if connection is not None:
            connection.lose()
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._handle_request(request, self._open.get(request.protocol) or Connection(0))
