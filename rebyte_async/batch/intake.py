"""The items that a runner is given: read as there is room for them, accepted by the journal, and started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from anyio import create_task_group
from anyio.abc import TaskGroup

from rebyte_async.batch.context import RunContext
from rebyte_async.batch.dispatcher import ItemDispatcher
from rebyte_async.batch.inputs import ItemReader
from rebyte_async.batch.items import BatchItem, to_new_item
from rebyte_async.batch.journal import ItemRecord, NewItem
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.run_scope import RunScope
from rebyte_async.errors import BatchError, RebyteError


class Intake(Protocol):
    """Where the items of a run come from."""

    async def run(self, background: TaskGroup) -> None:
        """Take items until all of them have outcomes. Tasks of `background` are cancelled afterwards."""
        ...

    async def close(self) -> None:
        """Take no further item."""
        ...


class GivenItems:
    """The items that the application gives a run, which has all of the journal."""

    def __init__(
        self,
        context: RunContext,
        scope: RunScope,
        dispatcher: ItemDispatcher,
        reader: ItemReader,
        *,
        total: int | None = None,
    ) -> None:
        self._context = context
        self._scope = scope
        self._dispatcher = dispatcher
        self._reader = reader
        self._total = dispatcher.runner.tracker.total = total
        self._earlier: dict[int, asyncio.Future[BatchOutcome]] = {}  # of earlier runs' open tasks, by position

    async def run(self, background: TaskGroup) -> None:
        """Settle what earlier runs left, then take items in until all have outcomes."""
        store, runner = self._context.journal.store, self._dispatcher.runner
        if self._total is not None:
            await store.record_total(self._total)
        running = await store.records_in_state("running")
        ambiguous = await store.records_in_state("creating")
        running += await self._dispatcher.reconcile_earlier(ambiguous)
        if runner.pool is not None:
            undecided = [record.workspace_id for record in ambiguous if record.state == "ended"]
            await runner.pool.open([record.workspace_id for record in running], undecided)
        for record in running:  # also those whose items aren't given again
            self._dispatcher.slots.force_acquire()
            outcome = self._earlier[record.position] = asyncio.get_running_loop().create_future()
            self._dispatcher.follow(background, record, outcome.set_result)
        async with create_task_group() as items:
            with self._scope.intake:
                await self._scope.run_part(self._take_items, items)

    async def close(self) -> None:
        """Close the reader. The application's own generator may hang or raise."""
        await self._reader.close()

    async def _take_items(self, group: TaskGroup) -> None:
        """Read items as there is room for them, record them, and start each."""
        ahead = max(1, min(self._context.tuning.read_ahead, self._context.settings.concurrency))
        while True:
            room = await self._dispatcher.outcomes.wait_for_room()
            try:
                given = await self._reader.read(min(room, ahead))
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - the application's own error, raised to it
                self._scope.end_intake(error)
                return
            if not given:
                tracker = self._dispatcher.runner.tracker
                tracker.total = tracker.taken
                return
            items, refusal = self._check_items(given)
            records = await self._context.journal.accept([new for _, new in items])
            for (item, _), record in zip(items, records, strict=True):
                if isinstance(record, BatchError):
                    self._scope.end_intake(locate(item, record))
                    return
                await self._dispatch(group, item, record)
            if refusal is not None:
                self._scope.end_intake(refusal)
                return

    def _check_items(self, given: Sequence[object]) -> tuple[list[tuple[BatchItem, NewItem]], BatchError | None]:
        """Return the items before the first that is refused, and why that one is refused."""
        items: list[tuple[BatchItem, NewItem]] = []
        for item in given:
            if (
                isinstance(item, BatchItem)
                and self._dispatcher.runner.pool is not None
                and item.workspace_id is not None
            ):
                why = "has its own workspace_id, and the batch has workspaces: give one or the other"
                return items, locate(item, BatchError(f"the item {item.key!r:.80} {why}"))
            try:
                items.append(check_item(item))
            except BatchError as error:
                return items, error
        return items, None

    async def _dispatch(self, group: TaskGroup, item: BatchItem, record: ItemRecord) -> None:
        """Continue an item from its state: hand out its outcome, wait for its task, or start it."""
        dispatcher = self._dispatcher
        is_granted = record.state == "accepted" and await dispatcher.runner.budget.reserve()
        if is_granted:
            await dispatcher.slots.acquire()
        if record.state == "ended":
            dispatcher.runner.tracker.resumed += 1
        deliver: Callable[[BatchOutcome], None] = partial(dispatcher.hand_out, dispatcher.take(item))
        if record.state == "running":
            group.start_soon(self._scope.run_part, self._await_earlier, record, deliver)
        elif is_granted:
            dispatcher.start(group, item, record, deliver)
        else:
            deliver(record.outcome())

    async def _await_earlier(self, record: ItemRecord, deliver: Callable[[BatchOutcome], None]) -> None:
        deliver(await self._earlier[record.position])


def check_item(item: object) -> tuple[BatchItem, NewItem]:
    """Return an item with its form for the journal.

    Raises:
        BatchError: It isn't one, or can't be written.
    """
    if not isinstance(item, BatchItem):
        raise BatchError(f"items must give BatchItem, not {type(item).__name__}: {item!r:.80}")
    try:
        return item, to_new_item(item)
    except RebyteError as error:
        raise locate(item, BatchError(error.message)) from error


def locate(item: BatchItem, error: BatchError) -> BatchError:
    """Name where an item was read, if that is known, in an error about it."""
    return error if item.origin is None else BatchError(f"{item.origin}: {error}")
