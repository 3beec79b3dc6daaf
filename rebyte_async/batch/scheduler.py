"""Schedule a run: take items in as there is room, start each once, and end the run so that another can continue it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from anyio import CancelScope, CapacityLimiter, create_task_group, move_on_after
from anyio.abc import TaskGroup
from attrs import evolve

from rebyte_async._tracing import ItemTrace
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.failures import reject_foreign_cancellation, summarize_error, unwrap_group
from rebyte_async.batch.inputs import ItemReader
from rebyte_async.batch.item_runner import ItemRunner
from rebyte_async.batch.items import BatchItem, to_new_item
from rebyte_async.batch.journal import ItemRecord, NewItem
from rebyte_async.batch.limits import ItemSlots
from rebyte_async.batch.outcomes import BatchOutcome, ItemEnd, OutcomeQueue
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.errors import BatchError, JournalError, RebyteError

_log = logging.getLogger("rebyte_async")


class Scheduler:
    """Runs one batch once. It fills the queue of outcomes, and knows nothing of who reads them."""

    def __init__(
        self, context: RunContext, reader: ItemReader, outcomes: OutcomeQueue, *, total: int | None = None
    ) -> None:
        self._context = context
        self._total = total
        self._reader = reader
        self._outcomes = outcomes
        self._runner = ItemRunner(context, on_fatal_error=self._stop_creating)
        self._runner.tracker.total = total
        self._scope = CancelScope()  # the whole run
        self._intake_scope = CancelScope()  # the intake of items
        self._slots = ItemSlots(context.settings.concurrency)
        self._failure: BaseException | None = None  # the error that is raised after the outcomes
        self._was_interrupted = False  # whether the application ended the run
        self._is_complete = False  # whether all items have their outcomes
        self._earlier: dict[int, asyncio.Future[BatchOutcome]] = {}  # of earlier runs' open tasks, by position
        self._metadata: dict[int, Mapping[str, Any]] = {}  # of the items that have no outcome yet, by number

    @property
    def progress(self) -> BatchProgress:
        runner = self._runner
        creating = len(runner.creator.in_flight) + len(runner.reconciler.cases)
        return runner.tracker.snapshot(creating=creating, created=runner.budget.spent)

    # --- The life of the run ---

    async def run(self) -> None:
        """Run to the end. A failure is raised through the queue of outcomes."""
        try:
            with self._scope:
                await self._run_phases()
        except asyncio.CancelledError:
            self._was_interrupted = True
            raise
        except BaseException as error:
            self._set_failure(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            try:
                with CancelScope(shield=True):
                    await self._clean_up()
            finally:  # the queue is closed whatever happens, else its reader would wait forever
                if self._failure is None and not self._is_complete:
                    self._failure = BatchError(
                        "the run was ended before all of its items had outcomes: run the batch again to continue it"
                    )
                self._outcomes.close(self._failure)

    def stop(self) -> None:
        """End the run now. Nothing new is started, and the journal stays correct."""
        self._was_interrupted = True
        self._context.stop.trigger()
        self._scope.cancel()

    async def _run_phases(self) -> None:
        """Open the journal, settle what earlier runs left, then take items in until all have outcomes."""
        await self._context.journal.begin_run()
        if self._total is not None:
            await self._context.journal.store.record_total(self._total)
        running = await self._context.journal.store.records_in_state("running")
        ambiguous = await self._context.journal.store.records_in_state("creating")
        running += await self._reconcile_earlier(ambiguous)
        if self._runner.pool is not None:
            undecided = [record.workspace_id for record in ambiguous if record.state == "ended"]
            await self._runner.pool.open([record.workspace_id for record in running], undecided)
        async with create_task_group() as group:
            group.start_soon(self._run_part, self._runner.reconciler.run)
            for record in running:  # also those whose items aren't given again
                self._slots.force_acquire()
                outcome = asyncio.get_running_loop().create_future()
                self._earlier[record.position] = outcome
                trace = self._context.transport.tracing.start_item(record.key)
                group.start_soon(self._run_part, self._follow, record, False, outcome.set_result, trace)
            async with create_task_group() as items:
                with self._intake_scope:
                    await self._run_part(self._take_items, items)
            group.cancel_scope.cancel()
        self._is_complete = not self._scope.cancel_called

    async def _reconcile_earlier(self, records: Sequence[ItemRecord]) -> list[ItemRecord]:
        """Decide on the creates that earlier runs left ambiguous; return the records that have a task now."""
        if not records:
            return []
        reason = "AmbiguousRequestError: the run was ended before the response to its create came"
        if self._context.settings.on_ambiguous == "report":
            for record in records:
                await self._runner.finish(record, ItemEnd("ambiguous", error=reason))
            return []
        self._runner.tracker.searching = len(records)
        try:
            verdicts = await self._runner.reconciler.reconcile(records, are_old=True)
        except JournalError:
            raise
        except RebyteError as error:
            summary = summarize_error(error)
            raise BatchError(f"can't find out which tasks the last run's creates made: {summary}") from error
        finally:
            self._runner.tracker.searching = 0
        for record in records:
            if (undecidable := verdicts[record.position].reason) is not None:
                await self._runner.finish(record, ItemEnd("ambiguous", error=f"{reason}; {undecidable}"))
        return [record for record in records if verdicts[record.position].task is not None]

    async def _run_part(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do a part of the run. A failure that no item can cause ends the run."""
        try:
            with reject_foreign_cancellation():
                await work(*arguments)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            self._failure = self._failure or error
            self._context.stop.trigger()
            self._scope.cancel()
            if isinstance(error, KeyboardInterrupt | SystemExit):  # these end the event loop as well
                raise

    def _set_failure(self, error: BaseException) -> None:
        self._failure = self._failure or unwrap_group(error)

    def _stop_creating(self, error: BatchError) -> None:
        """Create no further task. Tasks that run are followed to their ends, and then the error is raised."""
        if self._context.stop.reason is None:
            self._context.stop.trigger(error)
            if self._runner.pool is not None:
                self._runner.pool.changed.notify()
        self._end_intake(error)

    def _end_intake(self, error: BaseException) -> None:
        """Take no further item. Items that were taken get their outcomes, and then the error is raised."""
        if self._failure is None:
            _log.warning("the batch takes no new items: %s", error)
            self._failure = error
        self._intake_scope.cancel()

    async def _clean_up(self) -> None:
        """Wait for the creates in flight, cancel remote tasks if asked to, and close the reader and the journal."""
        try:
            await self._try_step(self._runner.creator.drain)
            if self._was_interrupted and self._context.settings.cancel_remote:
                await self._try_step(self._cancel_remote_tasks)
            if not isinstance(self._failure, JournalError):
                await self._try_step(self._context.journal.end_run)
        finally:
            try:
                # The application's own generator may hang or raise.
                with move_on_after(self._context.tuning.create_drain_timeout), suppress(Exception):
                    await self._reader.close()
            finally:
                await self._try_step(self._context.journal.store.aclose)

    async def _try_step(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run one clean-up step. Its failure is reported to the consumer and does not skip later steps."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - raised through the queue
            self._set_failure(error)

    async def _cancel_remote_tasks(self) -> None:
        """Cancel the open tasks, as many as there is time for."""
        permits = CapacityLimiter(self._context.tuning.max_parallel_cancels)

        async def cancel(record: ItemRecord) -> None:
            async with permits:
                await self._runner.cancel(record)

        running = await self._context.journal.store.records_in_state("running")
        with move_on_after(self._context.tuning.cancel_timeout):
            async with create_task_group() as group:
                for record in running:
                    group.start_soon(cancel, record)

    # --- Items ---

    async def _take_items(self, group: TaskGroup) -> None:
        """Read items as there is room for them, record them, and start each."""
        ahead = max(1, min(self._context.tuning.read_ahead, self._context.settings.concurrency))
        while True:
            room = await self._outcomes.wait_for_room()
            try:
                given = await self._reader.read(min(room, ahead))
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - the application's own error, raised to it
                self._end_intake(error)
                return
            if not given:
                self._runner.tracker.total = self._runner.tracker.taken
                return
            items, refusal = self._check_items(given)
            records = await self._context.journal.accept([new for _, new in items])
            for (item, _), record in zip(items, records, strict=True):
                if isinstance(record, BatchError):
                    self._end_intake(_locate(item, record))
                    return
                await self._dispatch(group, item, record)
            if refusal is not None:
                self._end_intake(refusal)
                return

    def _check_items(self, given: Sequence[object]) -> tuple[list[tuple[BatchItem, NewItem]], BatchError | None]:
        """Return the items before the first that is refused, and why that one is refused."""
        items: list[tuple[BatchItem, NewItem]] = []
        for item in given:
            if not isinstance(item, BatchItem):
                return items, BatchError(f"items must give BatchItem, not {type(item).__name__}: {item!r:.80}")
            if self._runner.pool is not None and item.workspace_id is not None:
                why = "has its own workspace_id, and the batch has workspaces: give one or the other"
                return items, _locate(item, BatchError(f"the item {item.key!r:.80} {why}"))
            try:
                items.append((item, to_new_item(item)))
            except RebyteError as error:
                return items, _locate(item, BatchError(error.message))
        return items, None

    async def _dispatch(self, group: TaskGroup, item: BatchItem, record: ItemRecord) -> None:
        """Continue an item from its state: hand out its outcome, wait for its task, or start it."""
        is_granted = record.state == "accepted" and await self._runner.budget.reserve()
        if is_granted:
            await self._slots.acquire()
        number = self._outcomes.register()
        self._runner.tracker.taken += 1
        if record.state == "ended":
            self._runner.tracker.resumed += 1
        if item.metadata:
            self._metadata[number] = item.metadata
        if record.state == "running":
            group.start_soon(self._run_part, self._await_earlier, number, record)
        elif is_granted:
            group.start_soon(self._run_part, self._start, group, number, item, record)
        else:
            self._hand_out(number, record.outcome())

    def _hand_out(self, number: int, outcome: BatchOutcome) -> None:
        self._runner.tracker.outcomes[outcome.status] += 1
        metadata = self._metadata.pop(number, None)
        self._outcomes.put(number, outcome if metadata is None else evolve(outcome, metadata=metadata))

    async def _start(self, group: TaskGroup, number: int, item: BatchItem, record: ItemRecord) -> None:
        """Make an item's task. Its end is awaited in another task, so that the item itself isn't kept meanwhile."""
        trace = self._context.transport.tracing.start_item(item.key)
        with trace.active():
            outcome = await self._runner.start(item, record)
        if outcome is None:
            group.start_soon(self._run_part, self._follow, record, True, partial(self._hand_out, number), trace)
        else:
            self._slots.release()
            trace.end(outcome)
            self._hand_out(number, outcome)

    async def _follow(
        self, record: ItemRecord, is_new: bool, deliver: Callable[[BatchOutcome], None], trace: ItemTrace
    ) -> None:
        try:
            with trace.active():
                outcome = await self._runner.follow(record, is_new=is_new)
        finally:
            self._slots.release()
        trace.end(outcome)
        deliver(outcome)

    async def _await_earlier(self, number: int, record: ItemRecord) -> None:
        self._hand_out(number, await self._earlier[record.position])


def _locate(item: BatchItem, error: BatchError) -> BatchError:
    """Name where an item was read, if that is known, in an error about it."""
    return error if item.origin is None else BatchError(f"{item.origin}: {error}")
