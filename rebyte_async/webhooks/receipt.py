"""What became of deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.webhooks.event import WebhookEvent

__all__ = ["Receipt", "ReceiverStats"]


@frozen(kw_only=True)
class Receipt:
    """What became of one delivery, and what to answer."""

    status: int
    """The HTTP status to answer with. `200`: it was taken, or it is genuine and nothing can be done with it; `401`: it
    isn't shown to be genuine; `413`: it is too large; `500`: the receiver isn't set up right; `503`: it can't be taken
    now and should be sent again."""
    event: WebhookEvent | None = None
    """What it says; None where it wasn't taken."""
    is_repeat: bool = False
    """Whether it came before, so that nothing was done about it."""
    error: Exception | None = None
    """Why it wasn't taken."""


@frozen(kw_only=True)
class ReceiverStats:
    """The counters of a receiver. Each delivery is counted once among the first six."""

    accepted: int = 0
    """Deliveries that were genuine and new."""
    repeated: int = 0
    """Genuine ones that had come before."""
    unreadable: int = 0
    """Genuine ones that couldn't be read."""
    forged: int = 0
    """Those that weren't shown to be genuine."""
    too_large: int = 0
    """Those with too large a body."""
    refused: int = 0
    """Those that couldn't be taken: handlers were too far behind, no public key could be had, the receiver was closed
    or isn't set up right."""
    handled: int = 0
    """Calls of handlers that succeeded."""
    handler_errors: int = 0
    """Calls of handlers that failed."""
    dropped: int = 0
    """Events that a reader (`async for`) was too slow for."""
