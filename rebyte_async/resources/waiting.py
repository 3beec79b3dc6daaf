"""Wait for the end of a task: by its stream, by reading it at growing intervals, or with completion hints."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import repeat
from typing import Protocol

import anyio
from attrs import Factory, define, field

from rebyte_async import errors
from rebyte_async._clock import intervals
from rebyte_async._retry import is_transient_status
from rebyte_async._validate import optional_seconds
from rebyte_async.streams import TaskEventStream
from rebyte_async.types.agent_computers import AgentComputer
from rebyte_async.types.statuses import RUNNING_STATUSES, TERMINAL_STATUSES, UNKNOWN_STATUS_PATIENCE
from rebyte_async.types.tasks import Task
from rebyte_async.types.webhooks import TaskCompletionHints

_MAX_FAILURES = 5
"""How many reads in a row may fail, each after the transport's own retries, before the failure is raised."""
_KNOWN_STATUSES = RUNNING_STATUSES | TERMINAL_STATUSES
_MAX_REMEMBERED = 10_000
_CANCEL_ATTEMPTS = 5
_CANCEL_INTERVAL = 0.5


@define(eq=False, repr=False)
class CreationGrace:
    """Remembers what was just created. While replicas may lag, a 404 for it means that it isn't visible yet."""

    _clock: Callable[[], float] = time.monotonic
    _seconds: float = 15.0
    _created: OrderedDict[str, float] = field(factory=OrderedDict[str, float], init=False)
    """When each was created, the oldest first."""

    def start(self, resource_id: str) -> None:
        now = self._clock()
        self._created[resource_id] = now
        while len(self._created) > _MAX_REMEMBERED or next(iter(self._created.values())) + self._seconds < now:
            self._created.popitem(last=False)

    def until(self, resource_id: str) -> float:
        """Return when the grace ends, on the given clock; `-inf` for a resource that was not created lately."""
        created = self._created.get(resource_id)
        return -math.inf if created is None else created + self._seconds

    def covers(self, resource_id: str) -> bool:
        return self._clock() < self.until(resource_id)


@define(eq=False, repr=False)
class StatusPatience:
    """Decides for how long a status that this package doesn't know is waited out. Another status starts it anew."""

    _known: Collection[str]
    _clock: Callable[[], float] = time.monotonic
    seconds: float = UNKNOWN_STATUS_PATIENCE
    _status: str | None = field(default=None, init=False)
    _since: float | None = field(
        default=None, init=False
    )  # when the unknown status was first read; None if it is known

    def has_run_out(self, status: str | None) -> bool:
        """Take the status as it was just read; return whether it is unknown and has stayed for too long."""
        if status in self._known:
            self._since = None
            return False
        now = self._clock()
        if self._since is None or status != self._status:
            self._status, self._since = status, now
        return now - self._since >= self.seconds


def task_patience(clock: Callable[[], float]) -> StatusPatience:
    return StatusPatience(_KNOWN_STATUSES, clock)


def describe_unknown(status: str | None) -> str:
    """Say what is wrong with a status that is unknown and stays."""
    if status is None:
        return "it is read without a status"
    return f"its status stays {status!r:.80}, which this version of rebyte-async doesn't know"


@define(eq=False, repr=False)
class TaskPoller:
    """Reads a task until it has ended. It tolerates transient failures, and a 404 during the creation grace."""

    task_id: str
    _read: Callable[[], Awaitable[Task]]
    _grace: CreationGrace
    _clock: Callable[[], float] = time.monotonic
    patience: StatusPatience = field(
        default=Factory(lambda self: task_patience(self._clock), takes_self=True), init=False
    )
    task: Task | None = field(default=None, init=False)
    """The task as last read. Once it is terminal it is a valid result, even if the time has run out meanwhile."""
    _failures: int = field(default=0, init=False)

    async def has_ended(self) -> bool:
        """Read the task once. A permanent failure, the fifth in a row, or an unknown status that stays is raised."""
        try:
            self.task = await self._read()
            self._failures = 0
        except errors.NotFoundError:
            if not self._grace.covers(self.task_id):
                raise
        except (errors.TransportError, errors.APIError, errors.DecodeError) as error:
            if isinstance(error, errors.APIError) and not is_transient_status(error.status):
                raise
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                raise
        else:
            if self.patience.has_run_out(self.task.status):
                raise self._give_up(self.task.status)
        return self.task is not None and self.task.is_terminal

    @property
    def knows_state(self) -> bool:
        """Whether the last read said if the task has ended."""
        return self.task is not None and not self._failures and self.task.status in _KNOWN_STATUSES

    def _give_up(self, status: str | None) -> errors.StreamInterruptedError:
        message = (
            f"the wait for task {self.task_id} was given up, and the task may have ended: {describe_unknown(status)}"
        )
        return errors.StreamInterruptedError(message, task_id=self.task_id, last_status=status)

    async def poll(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Read the task at growing intervals until it has ended."""
        for seconds in intervals(0.5, factor=1.5, longest=15.0):  # pragma: no branch - endless
            if await self.has_ended():
                return
            await sleep(seconds)

    def require_terminal_task(self, timeout: float | None) -> Task:
        """Return the task if it has ended, else raise `WaitTimeoutError`."""
        if self.task is not None and self.task.is_terminal:
            return self.task
        raise wait_timeout_error(f"task {self.task_id} had not ended after {timeout} s", self.task_id, self.task)


def wait_timeout_error(message: str, resource_id: str, last: Task | AgentComputer | None) -> errors.WaitTimeoutError:
    status = None if last is None else last.status
    message += f"; it was {status}" if status else ""
    return errors.WaitTimeoutError(message, resource_id=resource_id, last_status=status)


async def wait_for_end(
    poller: TaskPoller, stream: TaskEventStream, *, timeout: float | None, sleep: Callable[[float], Awaitable[None]]
) -> Task:
    """Follow the stream of a task, then read the task, again and again if need be, until it is terminal."""
    optional_seconds("timeout", timeout)
    with anyio.move_on_after(timeout):
        try:
            async with stream:
                async for _ in stream:
                    pass
        except errors.StreamInterruptedError as error:
            if error.last_status is not None:  # the stream had patience with it already
                poller.patience.seconds = 0
        except (errors.TransportError, errors.DecodeError, errors.APIError):
            pass  # the stream may be refused where the task is not; if the task is refused as well, its read raises
        await poller.poll(sleep)
    if poller.task is None and stream.done is not None:  # the time ran out while the task was read
        return Task(id=stream.task_id, status=stream.done.status, final_result=stream.done.final_result)
    return poller.require_terminal_task(timeout)


async def wait_with_hints(
    poller: TaskPoller,
    hints: TaskCompletionHints,
    *,
    timeout: float | None = None,
    poll_interval: float = 60.0,
    read_first: bool = True,
    first_interval: float = 0.5,
    factor: float = 2.0,
) -> Task:
    """Wait until a task has ended, without a stream: read it on each completion hint, and at intervals.

    A hint that the task's state didn't confirm has it read again after `first_interval`, then after intervals that grow
    by `factor` up to `poll_interval`, all in seconds. So does a read that failed or brought an unknown status.
    `read_first=False` saves the read at the start, for a task that was created a moment ago.
    """
    optional_seconds("timeout", timeout)

    def short_pauses() -> Iterator[float]:
        return intervals(min(first_interval, poll_interval), factor=factor, longest=poll_interval)

    with anyio.move_on_after(timeout):
        has_ended = read_first and await poller.has_ended()
        pauses = short_pauses() if read_first and not poller.knows_state else repeat(poll_interval)
        version = 0
        while not has_ended:
            previous = version
            pause = next(pauses)
            with anyio.move_on_after(pause):
                version = await hints.ended(poller.task_id, version)
            has_ended = await poller.has_ended()
            # A read may show an older state than the hint, and a failed one shows none: in both cases read again soon.
            if version > previous or (pause >= poll_interval and not poller.knows_state):
                pauses = short_pauses()
    return poller.require_terminal_task(timeout)


class _Cancelable(Protocol):
    """The part of `Tasks` that a cancellation takes."""

    async def cancel(self, task_id: str) -> None: ...
    async def get(self, task_id: str) -> Task: ...


async def cancel_until_terminal(
    tasks: _Cancelable, task_id: str, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> Task:
    """Cancel a task and read it, up to five times, until it has ended; return it as last read.

    A cancel that overtakes the submit of the same turn is lost (contract §3, observed), so one is not enough.
    """
    for _ in range(_CANCEL_ATTEMPTS):
        await tasks.cancel(task_id)
        if (task := await tasks.get(task_id)).is_terminal:
            return task
        await sleep(_CANCEL_INTERVAL)
    return await tasks.get(task_id)
