"""Wait for the ends of tasks: by streams up to a limit, by spaced reads beyond it, or by completion hints."""

from __future__ import annotations

import asyncio
import math

from anyio import move_on_after
from attrs import define, evolve, field

from rebyte_async._clock import Time, intervals
from rebyte_async.batch.context import Outage
from rebyte_async.batch.failures import is_fatal, is_transient, summarize_error
from rebyte_async.batch.outcomes import ItemEnd
from rebyte_async.batch.settings import Tuning
from rebyte_async.errors import APIError, DecodeError, NotFoundError, RebyteError, TransportError
from rebyte_async.resources import Tasks
from rebyte_async.resources.waiting import StatusPatience, describe_unknown, task_patience
from rebyte_async.types import Task, TaskCompletionHints
from rebyte_async.types.events import ErrorEvent
from rebyte_async.types.statuses import TERMINAL_STATUSES, TaskStatus


@define(eq=False)
class _PolledTask:
    """A task that is read repeatedly."""

    id: str
    outage: Outage  # the failures of its reads
    patience: StatusPatience
    not_found_since: float = field(default=math.inf, init=False)
    wakeup: asyncio.Event = field(factory=asyncio.Event, init=False)  # set to end the wait before the next read
    has_stream_slot: bool = field(default=False, init=False)  # granted, and not used yet

    async def wait(self, seconds: float) -> bool:
        """Wait for at most `seconds`; return whether the task was woken."""
        with move_on_after(seconds):
            await self.wakeup.wait()
        return self.wakeup.is_set()


class TaskWatcher:
    """Waits for the tasks of a run. All items share one, so that its limits hold for the run.

    A task takes one of these ways to its end:

        hints given ─────────▶ read on a hint, and every minute ──▶ end
        stream slot free ────▶ stream ──▶ end
                                  └─ brings no end ──▶ read at growing intervals ──▶ end
        no stream slot free ─▶ read at growing intervals ──▶ end
                                  └─ a slot becomes free ──▶ stream, as above
    """

    def __init__(
        self, tasks: Tasks, time: Time, tuning: Tuning, max_streams: int, hints: TaskCompletionHints | None = None
    ) -> None:
        self._tasks = tasks
        self._time = time
        self._tuning = tuning
        self._max_streams = max_streams
        self._hints = hints  # reports that tasks may have ended, so that none needs a stream
        self._streams = 0  # how many stream slots are taken
        self._next_poll = 0.0  # the earliest time of the next read, over all tasks
        self._read_permits = asyncio.Semaphore(tuning.max_parallel_polls)
        self._waiting_for_stream: dict[str, _PolledTask] = {}  # by id, the longest waiting first

    async def wait_for_end(self, task_id: str, *, is_new: bool = False) -> ItemEnd:
        """Wait until a task has ended, or can't be followed any longer.

        `is_new` says that it was created a moment ago, so that no hint of its end can have been missed, and no end
        either. RebyteError is raised where no task can be followed: the API key is refused.
        """
        end = await self._find_end(task_id, is_new=is_new)
        if is_new or end.ended_at is not None or end.status not in TERMINAL_STATUSES:
            return end
        try:  # it may have ended long ago, which its stream doesn't say
            async with self._read_permits:
                return evolve(end, ended_at=(await self._tasks.get(task_id)).completed_at)
        except RebyteError:
            return end

    async def _find_end(self, task_id: str, *, is_new: bool) -> ItemEnd:
        if self._hints is not None:
            found = await self._wait_with_hints(self._hints, task_id, is_new=is_new)
        elif self._streams < self._max_streams:
            self._streams += 1
            if (end := await self._stream_in_slot(task_id)) is not None:
                return end
            found = await self._poll_until_end(task_id, wants_stream=False)
        else:
            found = await self._poll_until_end(task_id, wants_stream=self._max_streams > 0)
        return found if isinstance(found, ItemEnd) else await self.complete(found)

    async def complete(self, task: Task) -> ItemEnd:
        """Return the end of a task that was read in a terminal state.

        Its final result and its error may be in its stream alone, which is therefore read, within a time limit.
        """
        if not task.final_result or task.status != TaskStatus.COMPLETED:
            with move_on_after(self._tuning.final_read_timeout):
                if (end := await self._stream(task.id)) is not None and end.status == task.status:
                    return evolve(end, ended_at=task.completed_at)
        return ItemEnd(str(task.status or ""), task.final_result or None, ended_at=task.completed_at)

    # --- Streams ---

    async def _stream_in_slot(self, task_id: str) -> ItemEnd | None:
        """Follow a task's stream in a slot that is taken, and release the slot."""
        try:
            return await self._stream(task_id)
        finally:
            self._release_slot()

    async def _stream(self, task_id: str) -> ItemEnd | None:
        """Follow a task's stream to its end; None where the stream doesn't bring the end."""
        last_error: str | None = None
        try:
            async with self._tasks.events(task_id) as stream:
                async for event in stream:
                    if isinstance(event, ErrorEvent):
                        last_error = event.message
        except (TransportError, DecodeError, APIError):
            return None
        if (done := stream.done) is None:
            return None
        error = " ".join(last_error.split()) if done.status == TaskStatus.FAILED and last_error else None
        return ItemEnd(str(done.status), done.final_result or None, error)

    def _release_slot(self) -> None:
        """Hand a stream slot to the task that has waited longest, or free it."""
        if not self._waiting_for_stream:
            self._streams -= 1
            return
        polled = self._waiting_for_stream.pop(next(iter(self._waiting_for_stream)))
        polled.has_stream_slot = True
        polled.wakeup.set()

    # --- Reads ---

    def _polled(self, task_id: str) -> _PolledTask:
        return _PolledTask(task_id, Outage(self._time, self._tuning), task_patience(self._time.clock))

    async def _poll_until_end(self, task_id: str, *, wants_stream: bool) -> Task | ItemEnd:
        """Read a task at growing intervals, until it has ended or the stream that it was granted brings its end."""
        polled = self._polled(task_id)
        if wants_stream:
            self._waiting_for_stream[task_id] = polled
        tuning = self._tuning
        waits = intervals(tuning.first_poll_interval, factor=tuning.poll_growth, longest=tuning.longest_poll_interval)
        try:
            while True:
                await self._wait_for_read(polled, next(waits))
                if polled.has_stream_slot:
                    polled.has_stream_slot = False
                    if (end := await self._stream_in_slot(task_id)) is not None:
                        return end
                if (found := await self._read(polled)) is not None:
                    return found
        finally:
            self._waiting_for_stream.pop(task_id, None)
            if polled.has_stream_slot:
                self._release_slot()

    async def _read(self, polled: _PolledTask) -> Task | ItemEnd | None:
        """Read a task once; raise the error with which no task can be read.

        A task that has ended is returned, an end where it can't be followed any longer, None while it runs.
        """
        try:
            async with self._read_permits:
                task = await self._tasks.get(polled.id)
        except NotFoundError as error:  # it isn't visible yet, or it was deleted
            now = self._time.clock()
            polled.not_found_since = min(polled.not_found_since, now)
            if now - polled.not_found_since >= self._tuning.not_found_grace:
                return ItemEnd("error", error=summarize_error(error))
        except RebyteError as error:
            if is_fatal(error):
                raise
            if not (is_transient(error) or isinstance(error, DecodeError)) or polled.outage.has_timed_out():
                return ItemEnd("error", error=summarize_error(error), is_final=False)
            await polled.outage.wait(error)
        else:
            polled.outage.reset()
            polled.not_found_since = math.inf
            if task.is_terminal:
                return task
            if polled.patience.has_run_out(task.status):
                return ItemEnd(
                    "error", error=f"the task may have ended: {describe_unknown(task.status)}", is_final=False
                )
        return None

    async def _wait_for_read(self, polled: _PolledTask, seconds: float) -> None:
        """Wait until a task is to be read: for its interval, then for its place among all tasks' reads."""
        if not await polled.wait(self._jitter(seconds)):
            now = self._time.clock()
            due = max(now, self._next_poll)
            self._next_poll = due + 1 / self._tuning.polls_per_second
            await polled.wait(due - now)
        polled.wakeup.clear()

    async def _wait_with_hints(self, hints: TaskCompletionHints, task_id: str, *, is_new: bool) -> Task | ItemEnd:
        """Read a task when a hint says that it may have ended, and at intervals in case no hint comes."""
        polled = self._polled(task_id)
        first, longest = self._tuning.first_poll_interval, self._tuning.hint_poll_interval
        version = 0
        interval = longest if is_new else 0.0
        while True:
            previous = version
            with move_on_after(self._jitter(interval)):
                version = await hints.ended(task_id, version)
            if (found := await self._read(polled)) is not None:
                return found
            # The service's reads may lag behind its hints, so a task is read again soon after a hint.
            was_hinted = version > previous
            interval = first if was_hinted else min(longest, max(first, interval * self._tuning.poll_growth))

    def _jitter(self, seconds: float) -> float:
        return seconds * self._time.rng.uniform(1 - self._tuning.poll_jitter, 1 + self._tuning.poll_jitter)
