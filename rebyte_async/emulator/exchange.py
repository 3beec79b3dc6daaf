"""One request and its response, while the response is being made, and the connection that it came on."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.emulator.body import RequestBody
from rebyte_async.emulator.frames import CutManner
from rebyte_async.emulator.log import LogEntry

if TYPE_CHECKING:
    from aiohttp import web

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
        # The flag is set even without a transport: the gateway must not respond on a connection that a fault broke.
        self.is_dropped = True
        if self._transport is None:
            return
        if not reset:
            self._transport.close()
            return
        known = None if self._transport.is_closing() else self._transport.get_extra_info("socket")
        if known is not None:  # a TLS transport whose peer has gone has no socket
            known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def cut(self, manner: CutManner) -> None:
        """End a body before its time; a `clean` cut leaves the connection alone, and the body ends as if whole."""
        if manner != "clean":
            await asyncio.sleep(_DELAY_BEFORE_CUT)
            self.abort(reset=manner == "reset")

    def lose(self) -> None:
        self._transport = None
        if self.on_lost is not None:
            self.on_lost()


@define(eq=False, kw_only=True)
class Exchange:
    """A request, the connection and the body that it came with, and how faults want its response changed."""

    request: web.BaseRequest
    connection: Connection
    body: RequestBody
    entry: LogEntry
    path: str
    """The path below the base URL, percent-encoded as it came."""
    origin: str
    """The origin that the request came to: `api` or `storage`."""
    origins: Mapping[str, str]
    """The URLs of both origins."""
    issue_read_token: Callable[[], str]
    """Makes a token for a URL's query that replaces a key."""
    sends_artifact_bytes: bool = True
    """Whether a download of an artifact from this origin sends its bytes, and doesn't redirect to them."""
    handler_task: asyncio.Task[object] | None = field(factory=asyncio.current_task)
    params: dict[str, str] = field(factory=dict[str, str])
    """The decoded parameters of the path."""
    faults: tuple[object, ...] = ()
    """The faults that trouble this exchange, the outermost first."""
    turns_back: int = 0
    """Which turn a stream replays: 0 the latest, 1 the one before it."""
    looks_empty: bool = False
    """Whether a stream is shown as if the agent had produced no events."""

    @property
    def request_id(self) -> str:
        return f"req_{self.entry.record.number}"

    def stop(self) -> None:
        if self.handler_task is not None:
            self.handler_task.cancel()
