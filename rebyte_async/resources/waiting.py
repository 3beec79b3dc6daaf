"""Waiting for the end of a task: its stream first, polling where the stream can't be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import move_on_after

from rebyte_async.errors import (
    APIError,
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)
from rebyte_async.resources.arguments import wait_limit
from rebyte_async.streams.reads import read_task
from rebyte_async.types.tasks import Task

if TYPE_CHECKING:
    from rebyte_async._transport import Transport
    from rebyte_async.streams import TaskEventStream

__all__ = ["wait_for_end"]

_FIRST_INTERVAL = 0.5
_GROWTH = 1.5
_LONGEST_INTERVAL = 15.0
_UNREADABLE = 5
"""Polls in a row that may fail, each after the transport's own retries, before the failure is raised."""


async def wait_for_end(
    transport: Transport,
    stream: TaskEventStream,
    timeout: float | None,
    *,
    forgive_until: float,
) -> Task:
    """The task of a stream in its terminal state, within `timeout` seconds.

    Raises:
        WaitTimeoutError: It hadn't ended in time.
        Exception: As `Tasks.wait`.
    """
    wait_limit(timeout)
    poll = _Poll(transport, stream.task_id, forgive_until)
    with move_on_after(timeout):
        await _follow(stream)
        await poll.until_end()
    if poll.task is not None and poll.task.is_terminal:
        return poll.task
    if poll.task is None and stream.done is not None:
        return Task(id=stream.task_id, status=stream.done.status, final_result=stream.done.final_result)
    status = None if poll.task is None else poll.task.status
    raise WaitTimeoutError(
        f"task {stream.task_id} had not ended after {timeout} s" + (f"; it was {status}" if status else ""),
        resource_id=stream.task_id,
        last_status=status,
    )


async def _follow(stream: TaskEventStream) -> None:
    """Read the stream to its end, or as far as it goes; what it can't tell, polling will."""
    async with stream:
        try:
            async for _ in stream:
                pass
        except (TransportError, DecodeError, APIError):
            return  # the stream may be refused where the task is not; polling tells, and raises if that is refused too


class _Poll:
    """Reads a task at growing intervals."""

    def __init__(self, transport: Transport, task_id: str, forgive_until: float) -> None:
        self._transport = transport
        self._task_id = task_id
        self._forgive_until = forgive_until
        self.task: Task | None = None
        """The task as last read. A terminal one stays, even when the time has run out meanwhile."""

    async def until_end(self) -> None:
        interval, failures = _FIRST_INTERVAL, 0
        while True:
            try:
                self.task = await read_task(self._transport, self._task_id)
                failures = 0
            except NotFoundError:
                if self._transport.gate.clock() >= self._forgive_until:
                    raise
            except (TransportError, RateLimitedError, ServerError, DecodeError):
                failures += 1
                if failures >= _UNREADABLE:
                    raise
            if self.task is not None and self.task.is_terminal:
                return
            await self._transport.gate.sleep(interval)
            interval = min(_LONGEST_INTERVAL, interval * _GROWTH)
