"""Tasks: the work of an agent."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from rebyte_async.types._fields import moment
from rebyte_async.types.prompts import Prompt
from rebyte_async.types.statuses import TERMINAL_STATUSES, TaskStatus, task_status

__all__ = ["Task"]


@frozen(kw_only=True)
class Task:
    """A task, as any endpoint gives it. What an endpoint leaves out is None.

    *Source*: contract §3; the fields documented except where their text says otherwise.
    """

    id: str
    """The task's id."""
    workspace_id: str | None = None
    """The agent computer it runs on. `create` gives it; the reads may leave it out (unknown)."""
    url: str | None = None
    """The task's page in Rebyte's application."""
    title: str | None = None
    """A short title, made by the service."""
    executor: str | None = None
    """The coding agent, such as `claude` (an open set); may be None in any answer (observed)."""
    model: str | None = None
    """The model it uses (an open set)."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """What the task is doing, or None where the endpoint doesn't say, as in a listing."""
    created_at: datetime | None = field(default=None, converter=moment)
    """When it was created."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it was completed. Don't infer the end from it; use `is_terminal`."""
    prompts: tuple[Prompt, ...] | None = None
    """Its turns, oldest first; `get` gives them."""
    final_result: str | None = None
    """The answer of its latest turn, once there is one (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status says that the task has ended. False when there is no status, or an unknown one."""
        return self.status in TERMINAL_STATUSES
