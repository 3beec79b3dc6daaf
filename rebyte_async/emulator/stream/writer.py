"""Sending an event stream: frames go in, bytes go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from attrs import define

from rebyte_async.emulator.stream.frames import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.settings import Formats
    from rebyte_async.emulator.stream.frames import ByteSink, Frame


@define(eq=False)
class StreamWriter:
    """One open stream."""

    response: web.StreamResponse
    _formats: Formats
    _send_bytes: ByteSink

    @classmethod
    async def open(cls, exchange: Exchange, formats: Formats, wrap: Callable[[ByteSink], ByteSink]) -> StreamWriter:
        """Send the head of the response; from now on, the loss of the connection stops the handler.

        `wrap` returns the sink that gets all bytes of the body, and passes them on to the one that it takes.
        """
        exchange.connection.on_lost = exchange.stop
        response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Request-Id": exchange.request_id})
        response.content_type = "text/event-stream"
        await response.prepare(exchange.request)
        exchange.entry.update(status=response.status)
        writer = cls(response, formats, wrap(response.write))
        if formats.stream.retry is not None:
            await writer._send_bytes(f"retry: {formats.stream.retry}\n\n".encode())
        return writer

    async def send(self, frame: Frame) -> None:
        """Send a frame."""
        await self._send_bytes(self._id_line(frame) + frame.wire)

    def _id_line(self, frame: Frame) -> bytes:
        if not self._formats.stream.ids or not isinstance(frame, Event):
            return b""
        return f"id: {frame.data.get('eventKey', frame.seq)}\n".encode()
