"""What a followed task came to."""

from __future__ import annotations

from attrs import frozen

from rebyte_async.types.statuses import TaskStatus

__all__ = ["TaskResult"]


@frozen
class TaskResult:
    """The end of one turn of a task, or, on an error, what there was of it."""

    task_id: str
    """The task."""
    status: TaskStatus | str | None
    """How the turn ended (`completed`, `failed`, `canceled`); None when it was given up before its end."""
    final_result: str
    """The agent's answer: the server's, or the last text where the server gave none; empty if there was neither."""
    text: str
    """Everything the agent said in what was followed, blocks divided by a blank line, echoes left out."""
    events_seen: int
    """How many events were delivered."""
