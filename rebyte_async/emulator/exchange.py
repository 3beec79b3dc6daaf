"""One request while it is being answered."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define, field

from rebyte_async.emulator.body import Body
from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.faults.base import ByteFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rebyte_async.emulator.connections import Connection
    from rebyte_async.emulator.log import Entry
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.tasks import Task
    from rebyte_async.emulator.stream.sinks import ByteSink, CutManner

_LOGGED_BODY = 1 << 20
_LARGEST_BODY = 16 << 20
# A client that learns of a broken connection may throw away what it had received but not read. What was sent before
# a cut should count, so there is a moment for reading it.
_BEFORE_CUT = 0.01
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@define(eq=False, kw_only=True)
class Exchange:
    """A request, the state that it came to, and what the faults want of its answer."""

    request: web.BaseRequest
    state: State
    connection: Connection
    job: asyncio.Task[object] | None
    """What runs the handler."""
    entry: Entry
    method: str
    path: str
    """The path below the base URL, as it came."""
    target: str
    """The whole path, as it came."""
    origin: str
    params: dict[str, str] = field(factory=dict[str, str])
    faults: tuple[object, ...] = ()
    turns_back: int = 0
    """Which turn a stream carries: 0 for the latest, 1 for the one before."""
    nothing_yet: bool = False
    """Whether a stream looks as if the agent had not said anything."""
    dropped: bool = False
    _data: bytes | None = None

    async def data(self) -> bytes:
        """The whole body."""
        if self._data is None:
            self._data = b"".join([chunk async for chunk in self.chunks()])
        return self._data

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, for one that may be large; it is kept nowhere but in the log, and there in part.

        Raises:
            ApiError: It is malformed.
        """
        if self._data is not None:
            yield self._data
            return
        self._data = b""
        head, size = bytearray(), 0
        try:
            async for chunk in self.request.content.iter_any():
                head += chunk[: _LOGGED_BODY - len(head)]
                size += len(chunk)
                yield chunk
        except web.RequestPayloadError as error:
            raise validation_error(f"The body is malformed: {error}") from error
        finally:
            self.entry.update(body=bytes(head), body_size=size)

    async def drain(self) -> None:
        """Read what nobody has read of the body."""
        if self._data is None:
            async for _ in self.chunks():
                pass

    async def body(self) -> Body:
        """The body as the JSON object that it has to be.

        Raises:
            ApiError: It is something else.
        """
        data = await self.data()
        if len(data) > _LARGEST_BODY:
            raise validation_error(f"The body must have at most {_LARGEST_BODY} bytes.")
        return Body.parse(self.request.content_type, data)

    @property
    def request_id(self) -> str:
        """The id that the answer carries."""
        return f"req_{self.entry.record.number}"

    def task(self) -> Task:
        """The task that the path names.

        Raises:
            ApiError: There is none.
        """
        return self.state.tasks.get(self.params["task_id"])

    def answered(self, status: int) -> None:
        """Write down which status was sent."""
        self.entry.update(status=status)

    def stop(self) -> None:
        """Answer no further."""
        if self.job is not None:
            self.job.cancel()

    def troubled(self, sink: ByteSink) -> ByteSink:
        """Where the bytes of a body are to be sent to, so that the faults of the request are put on them."""
        for fault in reversed(self.faults):
            if isinstance(fault, ByteFault):
                sink = fault.chunks(sink)
        return sink

    async def cut(self, manner: CutManner) -> None:
        """End a body before its time; a `clean` cut only lets it end."""
        if manner != "clean":
            await asyncio.sleep(_BEFORE_CUT)
            self.abort(reset=manner == "reset")

    def abort(self, *, reset: bool = True) -> None:
        """Drop the connection: by a reset, or by closing it in the middle of whatever was being sent."""
        self.dropped = True
        transport = self.request.transport
        if transport is None:
            return
        if not reset:
            transport.close()
            return
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
