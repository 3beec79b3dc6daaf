"""What became of an item."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from attrs import frozen

__all__ = ["BatchOutcome", "BatchStatus"]

BatchStatus: TypeAlias = Literal["completed", "failed", "canceled", "error", "ambiguous", "skipped"]
"""The six words for what became of an item."""


@frozen(kw_only=True)
class BatchOutcome:
    """What became of an item of a batch."""

    key: str
    """The item's key."""
    status: BatchStatus | str
    """`completed`, `failed` and `canceled` are the task's own end. `error`: no task could be started, or it can't be
    followed. `ambiguous`: a task may have been started, and nothing tells which. `skipped`: `max_new_tasks` left it."""
    task_id: str | None = None
    """Its task, where one is known."""
    final_result: str | None = None
    """The agent's answer, or None where there is none."""
    error: str | None = None
    """What went wrong, on one line: the class of the error and its message, or the agent's own last error."""
    attempts: int = 0
    """How many creates were sent that the server may have read."""
    started_at: datetime | None = None
    """When its task was started, by the server's clock."""
    ended_at: datetime | None = None
    """When its end was noticed, by the server's clock."""

    @property
    def is_success(self) -> bool:
        """Whether the task completed."""
        return self.status == "completed"
