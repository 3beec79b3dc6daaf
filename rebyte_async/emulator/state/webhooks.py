"""Webhooks that were registered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, field

from rebyte_async.emulator.generators import timestamp

EVENTS = ("task.created", "task.running", "task.completed", "task.failed", "task.canceled")


@define(eq=False, kw_only=True)
class Webhook:
    """One webhook.

    *Source*: contract §7, documented. GUESS(§7): `failureCount` counts failed attempts in a row
    """

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

    def record_attempt(self, now: datetime, *, succeeded: bool, deactivate_after: int | None) -> None:
        """Count an attempt to deliver to it, and deactivate it after too many failed ones."""
        self.last_triggered_at = now
        self.failure_count = 0 if succeeded else self.failure_count + 1
        if deactivate_after is not None and self.failure_count >= deactivate_after:
            self.is_active = False

    def to_json(self) -> dict[str, Any]:
        """Return the webhook as the API shows it: never with its secret."""
        return {
            "id": self.id,
            "url": self.url,
            "events": list(self.events),
            "description": self.description,
            "hasSecret": self.secret is not None,
            "isActive": self.is_active,
            "createdAt": timestamp(self.created_at),
            "lastTriggeredAt": self.last_triggered_at and timestamp(self.last_triggered_at),
            "failureCount": self.failure_count,
        }
