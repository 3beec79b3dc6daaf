"""What a fault can do: a fault is any object with one or more methods of these protocols, and here each is applied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable

from aiohttp import web
from attrs import frozen

from rebyte_async.emulator.artifacts.download import DownloadPlan
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.frames import ByteSink, FrameSink

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

# Each of these functions applies the faults of one kind. The last fault is applied first, so that the fault that was
# added first is the outermost.


def with_request_faults(exchange: Exchange, respond: Respond) -> Respond:
    for fault in reversed(exchange.faults):
        if isinstance(fault, RequestFault):
            respond = partial(fault.around, exchange, respond)
    return respond


def with_frame_faults(faults: Sequence[object], sink: FrameSink) -> FrameSink:
    for fault in reversed(faults):
        if isinstance(fault, FrameFault):
            sink = fault.frames(sink)
    return sink


def with_byte_faults(faults: Sequence[object], sink: ByteSink) -> ByteSink:
    for fault in reversed(faults):
        if isinstance(fault, ByteFault):
            sink = fault.chunks(sink)
    return sink


def with_download_faults(faults: Sequence[object], plan: DownloadPlan) -> DownloadPlan:
    for fault in reversed(faults):
        if isinstance(fault, DownloadFault):
            plan = fault.download(plan)
    return plan


def with_delivery_faults(faults: Sequence[object], plan: DeliveryPlan) -> DeliveryPlan:
    for fault in reversed(faults):
        if isinstance(fault, DeliveryFault):
            plan = fault.delivery(plan)
    return plan
