"""What a fault can do: a fault is any object with one or more of these methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.artifacts.download import DownloadPlan
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.stream.sinks import ByteSink, FrameSink
    from rebyte_async.emulator.webhooks.message import DeliveryPlan

__all__ = ["ByteFault", "DeliveryFault", "DownloadFault", "Fault", "FrameFault", "RequestFault"]

Answer: TypeAlias = Callable[[], Awaitable["web.StreamResponse"]]


@runtime_checkable
class RequestFault(Protocol):
    """Troubles a request as a whole."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
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
    """Troubles the bytes of a stream or of a download."""

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Where bytes are to go instead of `sink`, to be troubled on their way there."""
        ...


@runtime_checkable
class DownloadFault(Protocol):
    """Troubles what a download looks like."""

    def download(self, plan: DownloadPlan) -> DownloadPlan:
        """What is sent instead of `offer`."""
        ...


@runtime_checkable
class DeliveryFault(Protocol):
    """Troubles the delivery of a webhook."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """How it is delivered instead of as in `plan`."""
        ...


Fault: TypeAlias = RequestFault | FrameFault | ByteFault | DownloadFault | DeliveryFault
