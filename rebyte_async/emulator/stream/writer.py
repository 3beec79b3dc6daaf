"""The answer to a stream's request: frames go in, bytes go out, faults in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define

from rebyte_async.emulator.faults.base import FrameFault
from rebyte_async.emulator.stream.frames import Event

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import ByteSink, FrameSink


@define(eq=False)
class StreamWriter:
    """One open stream."""

    exchange: Exchange
    response: web.StreamResponse
    send_bytes: ByteSink

    @classmethod
    async def open(cls, exchange: Exchange) -> StreamWriter:
        """Send the head of the answer; from here on, the loss of the connection ends it."""
        exchange.connection.on_lost = exchange.stop
        response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Request-Id": exchange.request_id})
        response.content_type = "text/event-stream"
        await response.prepare(exchange.request)
        exchange.answered(response.status)
        writer = cls(exchange, response, exchange.troubled(response.write))
        if exchange.state.stream.retry is not None:
            await writer.send_bytes(f"retry: {exchange.state.stream.retry}\n\n".encode())
        return writer

    def frames(self) -> FrameSink:
        """Where frames are to be sent to, so that the faults of the request are put on them."""
        sink: FrameSink = self.send
        for fault in reversed(self.exchange.faults):
            if isinstance(fault, FrameFault):
                sink = fault.frames(sink)
        return sink

    async def send(self, frame: Frame) -> None:
        """Send a frame as it is."""
        await self.send_bytes(self._id_line(frame) + frame.wire)

    def _id_line(self, frame: Frame) -> bytes:
        if not self.exchange.state.stream.ids or not isinstance(frame, Event):
            return b""
        return f"id: {frame.data.get('eventKey', frame.seq)}\n".encode()
