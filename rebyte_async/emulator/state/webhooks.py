"""Webhooks that were registered."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rebyte_async.emulator.clock import timestamp, timestamp_or_none

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from rebyte_async.emulator.webhooks.message import QueuedDelivery


@define(eq=False, kw_only=True)
class Webhook:
    """One webhook, and what is on its way to it.

    *Source*: contract, section 7 (what `failureCount` counts is a guess: failed attempts in a row).
    """

    number: int
    id: str
    url: str
    events: tuple[str, ...]
    description: str | None
    secret: str | None = field(repr=False)
    created_at: datetime
    last_triggered_at: datetime | None = None
    failure_count: int = 0
    is_active: bool = True
    is_deleted: bool = False
    letters: deque[QueuedDelivery] = field(factory=deque["QueuedDelivery"], init=False)
    held_back: list[QueuedDelivery] = field(factory=list["QueuedDelivery"], init=False)
    courier: asyncio.Task[None] | None = field(default=None, init=False)

    def wants(self, event: str) -> bool:
        """Whether it is to be told of an event."""
        return self.is_active and event in self.events

    def attempted(self, now: datetime, *, succeeded: bool, patience: int | None) -> None:
        """Something was sent to it, and taken or not."""
        self.last_triggered_at = now
        self.failure_count = 0 if succeeded else self.failure_count + 1
        if patience is not None and self.failure_count >= patience:
            self.is_active = False

    def written(self) -> dict[str, Any]:
        """The webhook as the API shows it: never with its secret."""
        return {
            "id": self.id,
            "url": self.url,
            "events": list(self.events),
            "description": self.description,
            "hasSecret": self.secret is not None,
            "isActive": self.is_active,
            "createdAt": timestamp(self.created_at),
            "lastTriggeredAt": timestamp_or_none(self.last_triggered_at),
            "failureCount": self.failure_count,
        }
