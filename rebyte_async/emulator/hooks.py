"""What a fault can do: a fault is any object with one or more of these methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.stream.sinks import ByteSink, FrameSink

__all__ = ["ByteFault", "Fault", "FrameFault", "RequestFault"]

Answer: TypeAlias = Callable[[], Awaitable["web.StreamResponse"]]


@runtime_checkable
class RequestFault(Protocol):
    """Troubles a request as a whole."""

    async def around(self, call: Call, answer: Answer) -> web.StreamResponse:
        """Answer the request; `answer` does it properly."""
        ...


@runtime_checkable
class FrameFault(Protocol):
    """Troubles the frames of a stream."""

    def frames(self, sink: FrameSink) -> FrameSink:
        """Where frames are to go instead of `sink`, to be troubled on their way there."""
        ...


@runtime_checkable
class ByteFault(Protocol):
    """Troubles the bytes of a stream."""

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Where bytes are to go instead of `sink`, to be troubled on their way there."""
        ...


Fault: TypeAlias = RequestFault | FrameFault | ByteFault
