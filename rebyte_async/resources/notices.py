"""Waiting for the end of a task by being told, instead of by its stream: what tells is a `TaskCompletionHints`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import move_on_after

from rebyte_async.resources.arguments import wait_limit

if TYPE_CHECKING:
    from rebyte_async.resources.polling import TaskReader
    from rebyte_async.types.tasks import Task
    from rebyte_async.types.webhooks import TaskCompletionHints

__all__ = ["wait_by_notices"]

_FIRST_PAUSE = 0.5
_GROWTH = 2.0


async def wait_by_notices(
    reader: TaskReader,
    notices: TaskCompletionHints,
    *,
    timeout: float | None = None,
    poll_interval: float = 60.0,
    read_first: bool = True,
) -> Task:
    """Wait until a task has ended: for word of it, and for the task itself to say so.

    Args:
        reader: Reads the task.
        notices: Whoever is told.
        timeout: Seconds for everything together; None waits as long as it takes.
        poll_interval: Seconds after which the task is read without word.
        read_first: Whether the task is read at the start, for it may have ended long ago. False saves that request
            where it was made a moment ago.

    Returns:
        The task in its terminal state.

    Raises:
        WaitTimeoutError: It hadn't ended in time.
        Exception: What the reader raises, where it does so for good or again and again.
    """
    wait_limit(timeout)
    with move_on_after(timeout):
        await _until_end(reader, notices, poll_interval, read_first=read_first)
    return reader.ended_in(timeout)


async def _until_end(
    reader: TaskReader, notices: TaskCompletionHints, poll_interval: float, *, read_first: bool
) -> None:
    if read_first and await reader.has_ended():
        return
    word, pause = 0, poll_interval if reader.is_sure or not read_first else _FIRST_PAUSE
    while True:
        before = word
        with move_on_after(min(pause, poll_interval)):
            word = await notices.ended(reader.task_id, word)
        if await reader.has_ended():
            return
        # Word came and the task isn't over, or it couldn't be read: what can be read may lag behind, so soon again.
        is_doubtful = word > before or (not reader.is_sure and pause >= poll_interval)
        pause = _FIRST_PAUSE if is_doubtful else pause * _GROWTH
