"""The outcomes of a batch's items."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from attrs import frozen

__all__ = ["BatchOutcome", "BatchStatus"]

BatchStatus: TypeAlias = Literal["completed", "failed", "canceled", "error", "ambiguous", "skipped"]
"""The six ways in which an item can end."""


@frozen
class ItemEnd:
    """How an item ended, or the wait for its end was given up."""

    status: BatchStatus | str
    final_result: str | None = None
    error: str | None = None
    is_final: bool = True
    """False where another run may see another end. It is handed out then, but not recorded."""


@frozen(kw_only=True)
class BatchOutcome:
    """The outcome of one item of a batch."""

    key: str
    """The item's key."""
    status: BatchStatus | str
    """`completed`, `failed`, `canceled`: the task ended so. `error`: no task could be created, or its end not read.
    `ambiguous`: a task may have been created, and which one can't be decided. `skipped`: beyond `max_new_tasks`."""
    task_id: str | None = None
    """The id of its task, where one is known."""
    final_result: str | None = None
    """What the agent said at the end; None where there is nothing."""
    error: str | None = None
    """The error on one line: its class and message, or the agent's own last error. None where there was none."""
    attempts: int = 0
    """How many creates were sent that the server may have read."""
    started_at: datetime | None = None
    """When its task was created, by the server's clock."""
    ended_at: datetime | None = None
    """When its end was noticed, by the server's clock."""

    @property
    def is_success(self) -> bool:
        """Whether the task completed."""
        return self.status == "completed"
