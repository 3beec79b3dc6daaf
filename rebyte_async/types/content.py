"""A task's content: its turns with their questions and answers."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from rebyte_async.types._fields import moment
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.statuses import TERMINAL_STATUSES, PromptStatus, TaskStatus, prompt_status, task_status

__all__ = ["PromptContent", "TaskContent"]


@frozen(kw_only=True)
class PromptContent:
    """One turn with what was asked and answered.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The prompt's id."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """How far the turn is."""
    user_prompt: str | None = None
    """The text that was submitted."""
    submitted_at: datetime | None = field(default=None, converter=moment)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it ended; may be filled in while the turn runs."""
    response: str | None = None
    """The answer, or None while there is none."""
    events: tuple[TaskEvent, ...] | None = None
    """The turn's events, when they were asked for."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True)
class TaskContent:
    """A task with the content of its turns, oldest first.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The task's id."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """What the task is doing."""
    prompts: tuple[PromptContent, ...] = ()
    """Its turns, oldest first."""
