"""The log of what was delivered to webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.state.primitives import Broadcast

Outcome: TypeAlias = Literal["pending", "delivered", "failed", "skipped", "dropped"]


@frozen(kw_only=True)
class Attempt:
    """One attempt at a delivery."""

    time: datetime
    """When it began, in real time."""
    headers: Mapping[str, str] = field(hash=False)
    """The headers that were sent, without those that every HTTP client sends."""
    body: bytes
    """The body that was sent."""
    status: int | None
    """The status of the receiver's response; None if none came."""
    error: str | None
    """Why no response came."""

    @property
    def succeeded(self) -> bool:
        """Whether the receiver accepted the delivery."""
        return self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - any 2xx


@frozen(kw_only=True)
class Delivery:
    """An event for one webhook, and how its delivery went."""

    number: int
    """The number of the delivery, counted from 1 in the order of the events."""
    webhook_id: str
    """The webhook's id."""
    url: str
    """The webhook's URL."""
    event: str
    """The event, such as `task.completed`."""
    task_id: str
    """The id of the task that the event is about."""
    body: bytes
    """The body to deliver."""
    attempts: tuple[Attempt, ...] = ()
    """The attempts so far."""
    outcome: Outcome = "pending"
    """`delivered`: the receiver responded with a 2xx; `failed`: it never did; `skipped`: the URL isn't on this machine;
    `dropped`: the webhook was deleted; `pending`: none of these yet."""

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


@define(eq=False)
class DeliveryLog:
    """The latest deliveries, oldest first."""

    limit: int
    _by_number: dict[int, Delivery] = field(factory=dict[int, Delivery], init=False)
    _count: int = field(default=0, init=False)
    _changed: Broadcast = field(factory=Broadcast, init=False)
    _reported: set[int] = field(factory=set[int], init=False)

    def open(self, **facts: Any) -> Delivery:
        self._count += 1
        delivery = self._by_number[self._count] = Delivery(number=self._count, **facts)
        if len(self._by_number) > self.limit:
            del self._by_number[next(iter(self._by_number))]
        return delivery

    def update(self, delivery: Delivery, **changes: Any) -> Delivery:
        """Replace a delivery by one with changes, and wake those who wait for it."""
        changed = evolve(delivery, **changes)
        if delivery.number in self._by_number:
            self._by_number[delivery.number] = changed
        self._changed.fire()
        return changed

    def all(self) -> tuple[Delivery, ...]:
        return tuple(self._by_number.values())

    async def wait_for(
        self, event: str | None, task_id: str | None, outcome: Outcome, count: int
    ) -> tuple[Delivery, ...]:
        """Wait for `count` deliveries of a kind, and return all of the kind.

        A `RuntimeError` is raised if as many have ended, and none is pending, but not all with the outcome. What was
        returned or raised once is known to the test, and doesn't end a later wait for another outcome.
        """
        while True:
            kind = [delivery for delivery in self.all() if event in (None, delivery.event)]
            kind = [delivery for delivery in kind if task_id in (None, delivery.task_id)]
            found = [delivery for delivery in kind if delivery.outcome == outcome]
            others = [delivery for delivery in kind if delivery not in found and delivery.number not in self._reported]
            is_over = len(found) + len(others) >= count and all(other.outcome != "pending" for other in others)
            if is_over or len(found) >= count:
                self._reported.update(delivery.number for delivery in kind if delivery.outcome != "pending")
            if len(found) >= count:
                return tuple(found)
            if is_over:
                raise RuntimeError(_describe(others[-1], outcome))
            await self._changed.wait()


def _describe(delivery: Delivery, outcome: Outcome) -> str:
    """Say how a delivery ended that was to end otherwise."""
    name = f"the delivery of {delivery.event} for task {delivery.task_id}"
    if delivery.outcome == "skipped":
        return f"{name} was skipped, not {outcome}: {delivery.url} isn't on this machine"
    if not delivery.attempts or delivery.outcome != "failed":
        return f"{name} was {delivery.outcome}, not {outcome}"
    last = delivery.attempts[-1]
    reason = last.error or f"status {last.status}"
    return f"{name} failed, and was not {outcome}: {len(delivery.attempts)} attempts, the last one with {reason}"
