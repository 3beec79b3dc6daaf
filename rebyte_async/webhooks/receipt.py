"""The results and counters of a receiver."""

from __future__ import annotations

from attrs import field, frozen

from rebyte_async.types.values import Value
from rebyte_async.webhooks.event import WebhookEvent


@frozen(kw_only=True, repr=False)
class Receipt(Value):
    """The result of receiving one delivery, and the status to respond with."""

    status: int
    """The HTTP status to respond with. `200`: the delivery was accepted, or it is genuine but can't be used; `401`: it
    is not proven to be genuine; `413`: it is too large; `500`: the receiver is set up wrongly; `503`: it can't be
    accepted now and should be sent again."""
    event: WebhookEvent | None = None
    """The event in the delivery; None if it was not accepted."""
    is_repeat: bool = False
    """Whether the same delivery had come before, so that nothing was done with it."""
    error: Exception | None = field(default=None, eq=lambda error: (type(error), str(error)))
    """Why the delivery was not accepted."""


@frozen(kw_only=True, repr=False)
class ReceiverStats(Value):
    """The counters of a receiver. Each delivery is counted in one of the first six."""

    accepted: int = 0
    """Genuine and new deliveries."""
    repeated: int = 0
    """Genuine deliveries that had come before."""
    unreadable: int = 0
    """Genuine deliveries that could not be read."""
    forged: int = 0
    """Deliveries that were not proven to be genuine."""
    too_large: int = 0
    """Deliveries with too large a body."""
    refused: int = 0
    """Deliveries that could not be accepted: too many calls of handlers were waiting, the public key could not be read,
    or the receiver was closed or is set up wrongly."""
    handled: int = 0
    """Calls of handlers that succeeded."""
    handler_errors: int = 0
    """Calls of handlers that failed."""
    dropped: int = 0
    """Events that were dropped because a reader (`async for`) was too slow."""
