"""Reading a task again and again until it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.errors import (
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async.types.tasks import Task

__all__ = ["TaskReader"]

_UNREADABLE = 5
"""Reads in a row that may fail, each after the transport's own retries, before the failure is raised."""


@define(eq=False)
class TaskReader:
    """Reads a task, and bears what passes."""

    task_id: str
    _read: Callable[[], Awaitable[Task]]
    _is_new: Callable[[], bool]
    """Whether the task is so new that a 404 means that it isn't there yet."""
    task: Task | None = field(default=None, init=False)
    """The task as last read. A terminal one stays, even when the time has run out meanwhile."""
    _failures: int = field(default=0, init=False)

    async def has_ended(self) -> bool:
        """Read the task once, and tell whether it has ended.

        Raises:
            Exception: What the read raises, where it does so for good or again and again.
        """
        try:
            self.task = await self._read()
            self._failures = 0
        except NotFoundError:
            if not self._is_new():
                raise
        except (TransportError, RateLimitedError, ServerError, DecodeError):
            self._failures += 1
            if self._failures >= _UNREADABLE:
                raise
        return self.task is not None and self.task.is_terminal

    @property
    def is_sure(self) -> bool:
        """Whether the latest read told anything."""
        return self.task is not None and not self._failures

    def ended_in(self, timeout: float | None) -> Task:
        """The task in its terminal state.

        Raises:
            WaitTimeoutError: It wasn't seen in one.
        """
        if self.task is not None and self.task.is_terminal:
            return self.task
        status = None if self.task is None else self.task.status
        raise WaitTimeoutError(
            f"task {self.task_id} had not ended after {timeout} s" + (f"; it was {status}" if status else ""),
            resource_id=self.task_id,
            last_status=status,
        )
