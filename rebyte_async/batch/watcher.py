"""Waiting for the end of tasks: by their streams up to a bound, and by spaced reads beyond it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from anyio import move_on_after
from attrs import define, field, frozen

from rebyte_async.batch.failures import Trouble, in_one_line, is_fatal, is_passing
from rebyte_async.errors import APIError, DecodeError, NotFoundError, RebyteError, TransportError
from rebyte_async.types.events import ErrorEvent
from rebyte_async.types.statuses import TaskStatus

if TYPE_CHECKING:
    from rebyte_async._transport.gate import Gate
    from rebyte_async.batch.settings import Tuning
    from rebyte_async.resources import Tasks
    from rebyte_async.types import Task, TaskCompletionHints

__all__ = ["End", "Watch"]

_GROWTH = 1.5
_JITTER = 0.1


@frozen(kw_only=True)
class End:
    """What a task came to."""

    status: str
    final_result: str | None = None
    error: str | None = None
    is_final: bool = True
    """Whether it stays so; False where the wait was given up and another one may bring more."""


@define(eq=False, kw_only=True)
class Watch:
    """Waits for tasks, for all items of a run together."""

    tasks: Tasks
    gate: Gate
    tuning: Tuning
    max_streams: int
    receiver: TaskCompletionHints | None = None
    """What is told when tasks have ended, so that none needs a stream."""
    _streams: int = field(default=0, init=False)
    """How many places for streams are taken."""
    _next_poll: float = field(default=0.0, init=False)
    _polls: asyncio.Semaphore = field(init=False)
    _nudges: dict[str, asyncio.Event] = field(factory=dict[str, asyncio.Event], init=False)
    """What wakes whoever rests between two reads, by task."""
    _hopeful: dict[str, None] = field(factory=dict[str, None], init=False)
    """The tasks that are read for want of a place, the longest waiting first."""
    _placed: set[str] = field(factory=set[str], init=False)
    """Those of them that have been given one."""

    def __attrs_post_init__(self) -> None:
        self._polls = asyncio.Semaphore(self.tuning.polls_at_once)

    def nudge(self, task_id: str) -> None:
        """Take a hint that a task may have ended: it is read at once, if it is one that is read from time to time."""
        if (event := self._nudges.get(task_id)) is not None:
            event.set()

    async def end_of(self, task_id: str, *, is_new: bool = False) -> End:
        """Wait until a task has ended, whatever happens on the way.

        Args:
            task_id: The task.
            is_new: Whether it was made a moment ago, so that its end can't have been told to nobody.

        Raises:
            RebyteError: No task can be followed: the key is refused.
        """
        if self.receiver is not None:
            return await self.ended(task_id, await self._told(self.receiver, task_id, is_new=is_new))
        if hopeful := self._streams >= self.max_streams:
            self._hopeful[task_id] = None
        else:
            self._streams += 1
            if (end := await self._streamed(task_id)) is not None:
                return end
        return await self._polled(task_id, hopeful=hopeful and self.max_streams > 0)

    async def _streamed(self, task_id: str) -> End | None:
        """Follow a task's stream, in a place that is taken; None where it doesn't bring the end."""
        try:
            return await self._followed(task_id)
        finally:
            self._free_place()

    def _free_place(self) -> None:
        """Pass a place on, to the task that has waited longest for one."""
        for task_id in self._hopeful:
            del self._hopeful[task_id]
            self._placed.add(task_id)
            self.nudge(task_id)
            return
        self._streams -= 1

    async def _followed(self, task_id: str) -> End | None:
        said: str | None = None
        try:
            async with self.tasks.events(task_id) as stream:
                async for event in stream:
                    if isinstance(event, ErrorEvent):
                        said = event.message
        except (TransportError, DecodeError, APIError):
            return None
        return None if stream.done is None else _end(stream.done.status, stream.done.final_result, said)

    async def _polled(self, task_id: str, *, hopeful: bool) -> End:
        """Read a task again and again until it has ended, or until there is a place for its stream that tells."""
        self._nudges[task_id] = asyncio.Event()
        if not hopeful:
            self._hopeful.pop(task_id, None)
        try:
            task = await self._read_until_end(task_id)
        finally:
            del self._nudges[task_id]
            self._hopeful.pop(task_id, None)
            if task_id in self._placed:
                self._placed.discard(task_id)
                self._free_place()
        return await self.ended(task_id, task)

    async def ended(self, task_id: str, task: Task | End) -> End:
        """The end of a task that was read, with its answer, which may stand in its stream alone."""
        if isinstance(task, End):
            return task
        if task.final_result and task.status == TaskStatus.COMPLETED:
            return _end(task.status, task.final_result, None)
        with move_on_after(self.tuning.last_read):
            if (end := await self._followed(task_id)) is not None and end.status == task.status:
                return end
        return _end(task.status or "", task.final_result or "", None)

    async def _told(self, receiver: TaskCompletionHints, task_id: str, *, is_new: bool) -> Task | End:
        """Read a task when its end was told, and now and then in case it isn't."""
        reads = _Reads(self.tasks, task_id, self.tuning, Trouble(self.tuning, self.gate))
        word, pause = 0, self.tuning.untold if is_new else 0.0
        while True:
            before = word
            with move_on_after(self._varied(pause)):
                word = await receiver.ended(task_id, word)
            if (found := await reads.read(self._polls)) is not None:
                return found
            # What can be read may lag behind the word.
            is_doubtful = word > before
            grown = max(self.tuning.first_poll, pause * _GROWTH)
            pause = self.tuning.first_poll if is_doubtful else min(self.tuning.untold, grown)

    def _varied(self, seconds: float) -> float:
        return seconds * self.gate.rng.uniform(1 - _JITTER, 1 + _JITTER)

    async def _read_until_end(self, task_id: str) -> Task | End:
        reads = _Reads(self.tasks, task_id, self.tuning, Trouble(self.tuning, self.gate))
        interval = self.tuning.first_poll
        while True:
            if await self._rested(task_id, interval):
                self._placed.discard(task_id)
                if (end := await self._streamed(task_id)) is not None:
                    return end
            if (found := await reads.read(self._polls)) is not None:
                return found
            interval = min(self.tuning.longest_poll, interval * _GROWTH)

    async def _rested(self, task_id: str, seconds: float) -> bool:
        """Wait for the next read of a task; whether it has been given a place for its stream instead."""
        if not await self._nudged(task_id, self._varied(seconds)):
            # The reads of all tasks are spaced.
            now = self.gate.clock()
            turn = max(now, self._next_poll)
            self._next_poll = turn + 1 / self.tuning.polls_a_second
            await self._nudged(task_id, turn - now)
        self._nudges[task_id].clear()
        return task_id in self._placed

    async def _nudged(self, task_id: str, seconds: float) -> bool:
        """Wait for so long; whether someone had a reason to end that early."""
        nudge = self._nudges[task_id]
        with move_on_after(seconds):
            await nudge.wait()
        return nudge.is_set()


@define(eq=False)
class _Reads:
    """The reads of one task, and the trouble with them."""

    tasks: Tasks
    task_id: str
    tuning: Tuning
    trouble: Trouble
    _missing_since: float | None = field(default=None, init=False)

    async def read(self, turns: asyncio.Semaphore) -> Task | End | None:
        """Read it in turn: the task when it has ended, an end when it is given up, None while it goes on.

        Raises:
            RebyteError: No task can be read.
        """
        try:
            async with turns:
                task = await self.tasks.get(self.task_id)
        except NotFoundError as error:
            return self._missing(error)
        except RebyteError as error:
            return await self._failed(error)
        self.trouble.over()
        self._missing_since = None
        return task if task.is_terminal else None

    def _missing(self, error: NotFoundError) -> End | None:
        """A task that was just made may not be there yet; a deleted one stays away."""
        now = self.trouble.gate.clock()
        if self._missing_since is None:
            self._missing_since = now
        gone = now - self._missing_since >= self.tuning.missing
        return End(status="error", error=in_one_line(error)) if gone else None

    async def _failed(self, error: RebyteError) -> End | None:
        if is_fatal(error):
            raise error
        if not (is_passing(error) or isinstance(error, DecodeError)) or self.trouble.is_too_long():
            return End(status="error", error=in_one_line(error), is_final=False)
        await self.trouble.pause(error)
        return None


def _end(status: str, final_result: str, said: str | None) -> End:
    failed = status == TaskStatus.FAILED
    error = " ".join(said.split()) if failed and said else None
    return End(status=str(status), final_result=final_result or None, error=error)
