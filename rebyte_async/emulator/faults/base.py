"""What a fault can do: it is any object with one or more methods of these protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from aiohttp import web
from attrs import frozen

from rebyte_async.emulator.artifacts.download import DownloadPlan
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.frames import ByteSink, FrameSink

T = TypeVar("T")
Respond: TypeAlias = Callable[[], Awaitable[web.StreamResponse]]


@frozen(kw_only=True)
class DeliveryPlan:
    """How a webhook event is to be delivered; faults change it."""

    copies: int = 1
    """How often the event is delivered."""
    behind: int = 0
    """How many later deliveries are sent before it."""
    age: float = 0.0
    """How many seconds ago the delivery was signed."""
    body: bytes | None = None
    """The body instead of the right one; it is signed all the same."""
    tampered: str | None = None
    """The part that isn't as it was signed: `signature`, `body` or `secret`. `unsigned`: neither signature nor secret
    is sent. None: nothing is wrong."""


@runtime_checkable
class RequestFault(Protocol):
    """Troubles a request as a whole."""

    async def around(self, exchange: Exchange, respond: Respond, /) -> web.StreamResponse:
        """Respond to the request; `respond()` processes it and returns the right response."""
        ...


@runtime_checkable
class FrameFault(Protocol):
    """Troubles the frames of a stream."""

    def frames(self, sink: FrameSink, /) -> FrameSink:
        """Return the sink that gets the frames instead, and passes troubled ones on to `sink`."""
        ...


@runtime_checkable
class ByteFault(Protocol):
    """Troubles the bytes of a stream or of a download."""

    def chunks(self, sink: ByteSink, /) -> ByteSink:
        """Return the sink that gets the bytes instead, and passes troubled ones on to `sink`."""
        ...


@runtime_checkable
class DownloadFault(Protocol):
    """Troubles the head and the extent of a download."""

    def download(self, plan: DownloadPlan, /) -> DownloadPlan:
        """Return the plan to follow instead."""
        ...


@runtime_checkable
class DeliveryFault(Protocol):
    """Troubles the delivery of a webhook."""

    def delivery(self, plan: DeliveryPlan, /) -> DeliveryPlan:
        """Return the plan to follow instead."""
        ...


Fault: TypeAlias = RequestFault | FrameFault | ByteFault | DownloadFault | DeliveryFault


def apply_faults(faults: Sequence[object], kind: Literal["frames", "chunks", "download", "delivery"], value: T) -> T:
    """Hand a sink or a plan to every fault of one kind, and return what the outermost fault makes of it.

    The last fault is applied first, so that the fault that was added first is the outermost.
    """
    for fault in reversed(faults):
        if hasattr(fault, kind):
            value = getattr(fault, kind)(value)
    return value
