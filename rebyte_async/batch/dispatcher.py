"""Start items and follow their tasks, each in a task of its own, and hand their outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anyio.abc import TaskGroup
from attrs import evolve

from rebyte_async._tracing import ItemTrace
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.failures import summarize_error
from rebyte_async.batch.item_runner import ItemRunner
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal import ItemRecord
from rebyte_async.batch.limits import ItemSlots
from rebyte_async.batch.outcomes import BatchOutcome, ItemEnd, OutcomeQueue
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.run_scope import RunScope
from rebyte_async.errors import BatchError, JournalError, RebyteError

_NO_RESPONSE = "AmbiguousRequestError: the run was ended before the response to its create came"


class ItemDispatcher:
    """Runs the items of a run beside each other. It knows their outcomes' queue, and not where items come from."""

    def __init__(self, context: RunContext, scope: RunScope, outcomes: OutcomeQueue) -> None:
        self.runner = ItemRunner(context, on_fatal_error=self._stop_creating)
        self.slots = ItemSlots(context.settings.concurrency)
        self.outcomes = outcomes
        self._context = context
        self._scope = scope
        self._metadata: dict[int, Mapping[str, Any]] = {}  # of the items that have no outcome yet, by number

    @property
    def progress(self) -> BatchProgress:
        runner = self.runner
        creating = len(runner.creator.in_flight) + len(runner.reconciler.cases)
        return runner.tracker.snapshot(creating=creating, created=runner.budget.spent)

    def _stop_creating(self, error: BatchError) -> None:
        self._scope.stop_creating(error)
        if self.runner.pool is not None:
            self.runner.pool.changed.notify()

    async def reconcile_earlier(self, records: Sequence[ItemRecord]) -> list[ItemRecord]:
        """Decide on the creates that earlier runs left ambiguous; return the records that have a task now."""
        if not records:
            return []
        if self._context.settings.on_ambiguous == "report":
            for record in records:
                await self.runner.finish(record, ItemEnd("ambiguous", error=_NO_RESPONSE))
            return []
        self.runner.tracker.searching += len(records)
        try:
            verdicts = await self.runner.reconciler.reconcile(records, are_old=True)
        except JournalError:
            raise
        except RebyteError as error:
            summary = summarize_error(error)
            raise BatchError(f"can't find out which tasks the last run's creates made: {summary}") from error
        finally:
            self.runner.tracker.searching -= len(records)
        for record in records:
            if (undecidable := verdicts[record.position].reason) is not None:
                await self.runner.finish(record, ItemEnd("ambiguous", error=f"{_NO_RESPONSE}; {undecidable}"))
        return [record for record in records if verdicts[record.position].task is not None]

    def take(self, item: BatchItem) -> int:
        """Note that an item was taken, and return its number, which `hand_out` needs."""
        number = self.outcomes.register()
        self.runner.tracker.taken += 1
        if item.metadata:
            self._metadata[number] = item.metadata
        return number

    def hand_out(self, number: int, outcome: BatchOutcome) -> None:
        self.runner.tracker.outcomes[outcome.status] += 1
        metadata = self._metadata.pop(number, None)
        self.outcomes.put(number, outcome if metadata is None else evolve(outcome, metadata=metadata))

    def start(
        self, group: TaskGroup, item: BatchItem, record: ItemRecord, deliver: Callable[[BatchOutcome], None]
    ) -> None:
        """Make an item's task in a task of the group, and follow it. A slot was acquired for it."""
        group.start_soon(self._scope.run_part, self._start, group, item, record, deliver)

    def follow(self, group: TaskGroup, record: ItemRecord, deliver: Callable[[BatchOutcome], None]) -> None:
        """Follow the task that an earlier run left, in a task of the group. It has a slot."""
        trace = self._context.transport.tracing.start_item(record.key)
        group.start_soon(self._scope.run_part, self._follow, record, deliver, False, trace)

    async def _start(
        self, group: TaskGroup, item: BatchItem, record: ItemRecord, deliver: Callable[[BatchOutcome], None]
    ) -> None:
        """Make an item's task. Its end is awaited in another task, so that the item itself isn't kept meanwhile."""
        trace = self._context.transport.tracing.start_item(item.key)
        with trace.active():
            outcome = await self.runner.start(item, record)
        if outcome is None:
            group.start_soon(self._scope.run_part, self._follow, record, deliver, True, trace)
        else:
            self.slots.release()
            trace.end(outcome)
            deliver(outcome)

    async def _follow(
        self, record: ItemRecord, deliver: Callable[[BatchOutcome], None], is_new: bool, trace: ItemTrace
    ) -> None:
        try:
            with trace.active():
                outcome = await self.runner.follow(record, is_new=is_new)
        finally:
            self.slots.release()
        trace.end(outcome)
        deliver(outcome)
