"""The driver's side of a batch on Ray: loads the items, gathers the outcomes of all workers, and misses none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, suppress
from functools import partial
from itertools import chain, islice
from typing import Any

from anyio import CancelScope, create_task_group, current_time, to_thread
from attrs import define, evolve, field

from rebyte_async._clock import Time
from rebyte_async._transport import ServerClock
from rebyte_async.batch.context import Outage
from rebyte_async.batch.failures import unwrap_group
from rebyte_async.batch.inputs import Items
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.reader import JournalCounts, JournalItem, read_journal
from rebyte_async.batch.journal.store import JournalLostError
from rebyte_async.batch.loading import load_items
from rebyte_async.batch.outcomes import BatchOutcome, OutcomeQueue, explain_end
from rebyte_async.batch.progress import BatchProgress, ProgressTracker
from rebyte_async.batch.ray.cluster import RemoteWorker, start_actors
from rebyte_async.batch.settings import Tuning
from rebyte_async.errors import BatchError, RebyteError

_log = logging.getLogger("rebyte_async")

_PAGE = 500
_LONGEST_END = 10.0
"""Seconds that the other workers have to report the same when one has reported that no item is left."""
_UNDECIDED = ("error", "skipped")
"""The statuses of outcomes that may not be the last word on their item: another worker may run it."""


@define(eq=False)
class RayDriver:
    """Runs a batch by actors. It is the process of a `RayBatch`.

    Outcomes come from the workers as they end. One that a worker has recorded and died before it reported it is in the
    journal: so what no worker has reported is read there at the end, and what has ended before, at the beginning.
    """

    items: Items
    journal: PostgresJournal
    outcomes: OutcomeQueue
    limits: Mapping[str, int | None] = field(kw_only=True)
    packed: bytes = field(kw_only=True)
    workers: int = field(kw_only=True)
    max_restarts: int = field(kw_only=True)
    actor_options: Mapping[str, Any] = field(kw_only=True)
    tuning: Tuning = field(kw_only=True)
    _time: Time = field(factory=Time, init=False)
    _tracker: ProgressTracker = field(init=False)
    _whole: CancelScope = field(factory=CancelScope, init=False)
    _started: list[RemoteWorker] = field(factory=list[RemoteWorker], init=False)
    _delivered: set[str] = field(factory=set[str], init=False)
    _undecided: dict[str, BatchOutcome] = field(factory=dict[str, BatchOutcome], init=False)
    _is_done: bool = field(default=False, init=False)
    """Whether a worker has reported that no item is left."""
    _is_spent: bool = field(default=False, init=False)
    """Whether the batch may make no further task."""
    _failures: list[RebyteError] = field(factory=list[RebyteError], init=False)

    def __attrs_post_init__(self) -> None:
        self._tracker = ProgressTracker(self._time, ServerClock(self._time), self.tuning.progress_window)

    @property
    def progress(self) -> BatchProgress:
        parts = [worker.progress for worker in self._started]
        slowest = sorted(chain(*(part.slowest for part in parts)), key=lambda one: one.running_for, reverse=True)
        snapshot = self._tracker.snapshot(
            creating=sum(part.creating for part in parts), created=sum(part.created for part in parts)
        )
        return evolve(
            snapshot,
            running=sum(part.running for part in parts),
            searching=sum(part.searching for part in parts),
            slowest=tuple(slowest[:5]),
        )

    def stop(self) -> None:
        self._whole.cancel()

    async def run(self) -> None:
        failure: BaseException | None = BatchError(
            "the run was ended before all of its items had outcomes: run the batch again to continue it"
        )
        try:
            with self._whole:
                failure = await self._run_batch()
        except Exception as error:  # noqa: BLE001 - raised through the queue
            failure = unwrap_group(error)
        finally:
            self.outcomes.close(failure)

    async def _run_batch(self) -> BaseException | None:
        """Run the batch to its end; return the error that the run ends with."""
        await load_items(self.items, self.journal, **self.limits)
        counts = await self._count()
        self._tracker.total = self._tracker.taken = counts.total
        try:
            if counts.states.keys() - {"ended"}:
                await self._start_workers()
            async with create_task_group() as group:
                for worker in self._started:
                    group.start_soon(self._gather, worker)
                group.start_soon(self._deliver_stored, tuple(counts.statuses))
        finally:
            with CancelScope(shield=True):
                await asyncio.gather(*(worker.stop() for worker in self._started))
        left = await self._deliver_rest()
        if self._failures and (left or not self._is_done):
            return self._failures[0]
        return BatchError(f"{left} items of the batch have no outcome: run it again to continue it") if left else None

    async def _start_workers(self) -> None:
        start = partial(start_actors, max_restarts=self.max_restarts, actor_options=self.actor_options)
        handles = await to_thread.run_sync(start, self.packed, self.workers)
        self._started = [RemoteWorker(number, handle) for number, handle in enumerate(handles, 1)]

    async def _gather(self, worker: RemoteWorker) -> None:
        """Deliver what a worker reports, until it has ended."""
        try:
            with worker.reporting:
                while True:
                    report = await worker.report()
                    for outcome in report.outcomes:
                        await self._deliver_reported(outcome)
                    if report.failure is not None:
                        raise report.failure
                    if report.is_over:
                        self._end_all()
                        return
        except RebyteError as error:
            _log.warning("worker %d of the batch has failed: %s", worker.number, error)
            self._failures.append(error)

    async def _deliver_stored(self, statuses: Collection[str]) -> None:
        """Deliver what has ended with one of these statuses before this run."""
        with suppress(JournalLostError):  # it is delivered at the end then
            async with aclosing(self._read(statuses)) as items:
                async for item in items:
                    if item.outcome is not None and await self._deliver(item.outcome):
                        self._tracker.resumed += 1

    async def _deliver_rest(self) -> int:
        """Deliver what no worker has reported; return how many items have no outcome."""
        outage = Outage(self._time, self.tuning)
        while True:
            try:
                async with aclosing(self._read(None)) as items:
                    return sum([not await self._deliver_last(item) async for item in items])
            except JournalLostError as error:
                if outage.has_timed_out():
                    raise
                await outage.wait(error)

    async def _deliver_last(self, item: JournalItem) -> bool:
        """Deliver the last word on an item, if there is any and it wasn't delivered; return whether there is."""
        outcome = item.outcome or self._undecided.get(item.key)
        if outcome is None and item.state == "accepted" and self._is_spent:
            outcome = _skip(item)
        if outcome is None:
            return item.key in self._delivered
        await self._deliver(outcome)
        return True

    async def _count(self) -> JournalCounts:
        def count() -> JournalCounts:
            with read_journal(self.journal) as reader:
                return reader.counts()

        return await to_thread.run_sync(count)

    async def _read(self, statuses: Collection[str] | None) -> AsyncGenerator[JournalItem]:
        reader = await to_thread.run_sync(read_journal, self.journal)
        try:
            items = reader.items(statuses=statuses)
            while page := await to_thread.run_sync(lambda: list(islice(items, _PAGE))):
                for item in page:
                    yield item
        finally:
            reader.close()

    def _end_all(self) -> None:
        """Don't wait for other workers: one has reported that no item is left, as all do then that have started."""
        self._is_done = True
        for worker in self._started:
            patience = _LONGEST_END if worker.has_reported else 0.0
            worker.reporting.deadline = min(worker.reporting.deadline, current_time() + patience)

    async def _deliver_reported(self, outcome: BatchOutcome) -> None:
        if outcome.status in _UNDECIDED:
            self._undecided[outcome.key] = outcome
            self._is_spent = self._is_spent or outcome.status == "skipped"
        elif await self._deliver(outcome):
            self._tracker.count_recorded()

    async def _deliver(self, outcome: BatchOutcome) -> bool:
        """Hand out an outcome unless its item's was; return whether it was handed out."""
        if outcome.key in self._delivered:
            return False
        self._delivered.add(outcome.key)
        try:
            await self.outcomes.wait_for_room()
        except BaseException:
            self._delivered.discard(outcome.key)
            raise
        self.outcomes.put(self.outcomes.register(), outcome)
        self._tracker.outcomes[outcome.status] += 1
        return True


def _skip(item: JournalItem) -> BatchOutcome:
    error = explain_end("skipped", None)
    return BatchOutcome(key=item.key, status="skipped", error=error, attempts=item.attempts, metadata=item.metadata)
