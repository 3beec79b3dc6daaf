"""Waiting for the end of a task by being told, instead of by its stream: what tells is a `TaskNotices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from anyio import move_on_after
from attrs import define, field

from rebyte_async.errors import (
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)
from rebyte_async.resources.arguments import wait_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async.types.tasks import Task

__all__ = ["TaskNotices", "wait_by_notices"]

_FIRST_PAUSE = 0.5
_GROWTH = 2.0
_UNREADABLE = 5
"""Reads in a row that may fail, each after the transport's own retries, before the failure is raised."""


class TaskNotices(Protocol):
    """Whoever is told when a task has ended, such as a `WebhookReceiver`."""

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for word that a task has, or may have, ended.

        It is a hint: whoever gets it reads the task. Word that came before the call counts too, as far as it is
        remembered. It may never come, so whoever waits asks the service too, now and then.

        Args:
            task_id: The task.
            after: What an earlier call returned: only newer word counts.

        Returns:
            A number that stands for the latest word.
        """
        ...


async def wait_by_notices(
    read: Callable[[], Awaitable[Task]],
    notices: TaskNotices,
    task_id: str,
    *,
    timeout: float | None = None,
    poll_interval: float = 60.0,
    is_new: Callable[[], bool] = lambda: False,
    read_first: bool = True,
) -> Task:
    """Wait until a task has ended: for word of it, and for the task itself to say so.

    Args:
        read: Reads the task.
        notices: Whoever is told.
        task_id: The task.
        timeout: Seconds for everything together; None waits as long as it takes.
        poll_interval: Seconds after which the task is read without word.
        is_new: Whether the task is so new that a 404 means that it isn't there yet.
        read_first: Whether the task is read at the start, for it may have ended long ago. False saves that request
            where it was made a moment ago.

    Returns:
        The task in its terminal state.

    Raises:
        WaitTimeoutError: It hadn't ended in time.
        Exception: What `read` raises, where it does so for good or again and again.
    """
    wait_limit(timeout)
    reader = _Reader(read, is_new)
    with move_on_after(timeout):
        await _until_end(reader, notices, task_id, poll_interval, read_first=read_first)
    if reader.task is not None and reader.task.is_terminal:
        return reader.task
    status = None if reader.task is None else reader.task.status
    raise WaitTimeoutError(
        f"task {task_id} had not ended after {timeout} s" + (f"; it was {status}" if status else ""),
        resource_id=task_id,
        last_status=status,
    )


@define
class _Reader:
    """Reads a task, patiently."""

    _read: Callable[[], Awaitable[Task]]
    _is_new: Callable[[], bool]
    task: Task | None = field(default=None, init=False)
    """The task as last read. A terminal one stays, even when the time has run out meanwhile."""
    _failures: int = field(default=0, init=False)

    async def has_ended(self) -> bool:
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


async def _until_end(
    reader: _Reader, notices: TaskNotices, task_id: str, poll_interval: float, *, read_first: bool
) -> None:
    if read_first and await reader.has_ended():
        return
    word, pause = 0, poll_interval if reader.is_sure or not read_first else _FIRST_PAUSE
    while True:
        before = word
        with move_on_after(min(pause, poll_interval)):
            word = await notices.ended(task_id, word)
        if await reader.has_ended():
            return
        # Word came and the task isn't over, or it couldn't be read: what can be read may lag behind, so soon again.
        is_doubtful = word > before or not reader.is_sure
        pause = _FIRST_PAUSE if is_doubtful and pause >= poll_interval else pause * _GROWTH
