"""Waiting for the end of a task: its stream first, polling where the stream can't be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import move_on_after

from rebyte_async.errors import APIError, DecodeError, TransportError
from rebyte_async.resources.arguments import wait_limit
from rebyte_async.types.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async.resources.polling import TaskReader
    from rebyte_async.streams import TaskEventStream

__all__ = ["wait_for_end"]

_FIRST_INTERVAL = 0.5
_GROWTH = 1.5
_LONGEST_INTERVAL = 15.0


async def wait_for_end(
    reader: TaskReader,
    stream: TaskEventStream,
    *,
    timeout: float | None,
    sleep: Callable[[float], Awaitable[None]],
) -> Task:
    """The task of a stream in its terminal state, within `timeout` seconds.

    Raises:
        WaitTimeoutError: It hadn't ended in time.
        Exception: As `Tasks.wait`.
    """
    wait_limit(timeout)
    with move_on_after(timeout):
        await _follow(stream)
        await _poll(reader, sleep)
    if reader.task is None and stream.done is not None:
        return Task(id=stream.task_id, status=stream.done.status, final_result=stream.done.final_result)
    return reader.ended_in(timeout)


async def _follow(stream: TaskEventStream) -> None:
    """Read the stream to its end, or as far as it goes; what it can't tell, polling will."""
    async with stream:
        try:
            async for _ in stream:
                pass
        except (TransportError, DecodeError, APIError):
            return  # the stream may be refused where the task is not; polling tells, and raises if that is refused too


async def _poll(reader: TaskReader, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Read the task at growing intervals."""
    interval = _FIRST_INTERVAL
    while not await reader.has_ended():
        await sleep(interval)
        interval = min(_LONGEST_INTERVAL, interval * _GROWTH)
