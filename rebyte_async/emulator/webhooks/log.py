"""The record of what was delivered to webhooks."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.state.sync import Broadcast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Attempt", "Delivery", "Outcome"]

Outcome: TypeAlias = Literal["pending", "delivered", "failed", "skipped", "dropped"]


@frozen(kw_only=True)
class Attempt:
    """One attempt to deliver something."""

    time: datetime
    """When it began, in real time."""
    headers: Mapping[str, str]
    """The headers that were sent, but for those that every HTTP client sends."""
    body: bytes
    """The body that was sent."""
    status: int | None
    """The status that the receiver answered with; None if it didn't answer."""
    error: str | None
    """Why there was no answer."""

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - any 2xx


@frozen(kw_only=True)
class Delivery:
    """Something that a webhook was to be told, and what became of it."""

    number: int
    """Counts the deliveries from 1, in the order in which they came up."""
    webhook_id: str
    """The webhook's id."""
    url: str
    """The webhook's URL."""
    event: str
    """The event, such as `task.completed`."""
    task_id: str
    """The id of the task that it is about."""
    body: bytes
    """What it says."""
    attempts: tuple[Attempt, ...] = ()
    """The attempts so far."""
    outcome: Outcome = "pending"
    """`delivered`: the receiver answered with a 2xx; `failed`: it never did; `skipped`: the URL isn't on this machine;
    `dropped`: the webhook was deleted; `pending`: none of these yet."""

    def json(self) -> Any:
        """What it says, decoded."""
        return json.loads(self.body)


@define(eq=False)
class DeliveryEntry:
    """A place in the record, whose delivery is replaced as it goes on."""

    delivery: Delivery
    _changed: Broadcast

    def attempted(self, attempt: Attempt) -> None:
        """Write down an attempt."""
        self.delivery = evolve(self.delivery, attempts=(*self.delivery.attempts, attempt))

    def settle(self, outcome: Outcome) -> None:
        """Write down what became of it."""
        self.delivery = evolve(self.delivery, outcome=outcome)
        self._changed.fire()


@define(eq=False)
class DeliveryLog:
    """All deliveries, oldest first."""

    limit: int
    _entries: deque[DeliveryEntry] = field(init=False)
    _count: int = field(default=0, init=False)
    _changed: Broadcast = field(factory=Broadcast, init=False)

    def __attrs_post_init__(self) -> None:
        self._entries = deque(maxlen=self.limit)

    def open(self, **facts: Any) -> DeliveryEntry:
        """Write down a delivery that has just come up."""
        self._count += 1
        entry = DeliveryEntry(Delivery(number=self._count, **facts), self._changed)
        self._entries.append(entry)
        return entry

    def all(self) -> tuple[Delivery, ...]:
        """All of them, as they are now."""
        return tuple(entry.delivery for entry in tuple(self._entries))

    async def settled(
        self, event: str | None, task_id: str | None, outcome: Outcome, count: int
    ) -> tuple[Delivery, ...]:
        """Wait for so many deliveries of a kind."""
        while len(found := self._select(event, task_id, outcome)) < count:
            await self._changed.wait()
        return found

    def _select(self, event: str | None, task_id: str | None, outcome: Outcome) -> tuple[Delivery, ...]:
        wanted = {"event": event, "task_id": task_id, "outcome": outcome}
        return tuple(delivery for delivery in self.all() if _has(delivery, wanted))


def _has(delivery: Delivery, wanted: Mapping[str, str | None]) -> bool:
    return all(value in (None, getattr(delivery, name)) for name, value in wanted.items())
