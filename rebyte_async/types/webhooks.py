"""Webhooks, to which the service reports the events of tasks, and the completion hints that they give."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from rebyte_async._clock import to_datetime
from rebyte_async.types.values import Value


class WebhookEventName(StrEnum):
    """The events that a webhook can be registered for.

    *Source*: contract §7, documented.
    """

    TASK_CREATED = "task.created"
    TASK_RUNNING = "task.running"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_CANCELED = "task.canceled"


@frozen(kw_only=True, repr=False)
class Webhook(Value):
    """A registered webhook. The service never returns its secret.

    *Source*: contract §7, documented.
    """

    id: str
    """The webhook's id."""
    url: str | None = None
    """Where deliveries are sent."""
    events: tuple[str, ...] = ()
    """The events that it is registered for: members of `WebhookEventName`, or newer names."""
    description: str | None = None
    """Its description, at most 500 characters."""
    has_secret: bool | None = None
    """Whether it has a secret that deliveries carry."""
    is_active: bool | None = None
    """Whether deliveries are sent."""
    created_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was registered."""
    last_triggered_at: datetime | None = field(default=None, converter=to_datetime)
    """When a delivery was last attempted."""
    failure_count: int | None = None
    """How many deliveries have failed."""


class TaskCompletionHints(Protocol):
    """A source of completion hints: it reports that a task may have ended. `WebhookReceiver` is one."""

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for a hint that a task has, or may have, ended.

        A hint is no proof: read the task to learn its status. Hints that came before the call count as well, as far as
        they are remembered. A hint may never come, so ask the service now and then while waiting.

        Args:
            task_id: The task.
            after: The number that an earlier call returned: only newer hints count.

        Returns:
            The number of the latest hint.
        """
        ...
