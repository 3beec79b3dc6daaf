"""The steps of an item: upload its files, create its task, wait for the task's end, and record the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from attrs import evolve

from rebyte_async.batch.agent_computers import UNDECIDED_TASKS, AgentComputerPool
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.creates import CreateRequest, TaskCreator
from rebyte_async.batch.failures import UnresolvedCreateError, as_batch_error, is_fatal, is_transient, summarize_error
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal import ItemRecord
from rebyte_async.batch.journal.store import BatchBudgetError
from rebyte_async.batch.limits import CreateBudget, StoppedError
from rebyte_async.batch.outcomes import BatchOutcome, ItemEnd, explain_end
from rebyte_async.batch.reconciler import Reconciler
from rebyte_async.batch.watcher import TaskWatcher
from rebyte_async.errors import BatchError, JournalError, NotFoundError, RebyteError
from rebyte_async.resources.waiting import cancel_until_terminal
from rebyte_async.types.statuses import TaskStatus

_log = logging.getLogger("rebyte_async")


class ItemRunner:
    """Carries the items of a run through their steps. Each step is in the journal before the next begins."""

    def __init__(self, context: RunContext, on_fatal_error: Callable[[BatchError], None]) -> None:
        settings, tuning = context.settings, context.tuning
        self._context = context
        self._on_fatal_error = on_fatal_error  # called with what rules out further creates: the run ends with it
        self.reconciler = Reconciler(context)
        self.creator = TaskCreator(context, self.reconciler)
        self.pool: AgentComputerPool | None = None  # the batch's own agent computers, if it has some
        if settings.workspaces is not None:
            self.pool = AgentComputerPool(context, settings.workspaces, self.reconciler.watermark.take)
        self.budget = CreateBudget(settings.max_new_tasks)
        self.tracker = context.tracker
        self._watcher = TaskWatcher(context.tasks, context.time, tuning, settings.max_streams, settings.receiver)

    async def start(self, item: BatchItem, record: ItemRecord) -> BatchOutcome | None:
        """Make the item's task, for which budget was reserved; return None when it has one, else its outcome.

        An error that no item can cause is raised, and not recorded.
        """
        request = CreateRequest(item, record, workspace_id=item.workspace_id)
        try:
            if item.files:  # before the intent is recorded, so that an upload makes no create ambiguous
                attach = partial(self._context.tasks.attach, item.files)
                request = evolve(request, files=await self._context.outage.retry_through(attach))
        except Exception as error:  # noqa: BLE001 - the application's own upload sources may raise anything
            return await self._fail_start(record, error)
        try:
            if self.pool is None:
                await self.creator.create(request)
            else:
                while not await self._create_in_pool(self.pool, request):
                    pass
        except JournalError:
            raise
        except RebyteError as error:
            return await self._fail_start(record, error)
        self.budget.spend()
        record.request = ""  # a request may be long, and many tasks may be open
        return None

    async def _create_in_pool(self, pool: AgentComputerPool, request: CreateRequest) -> bool:
        """Make an item's task on an agent computer of the pool; return False if that one no longer exists."""
        record = request.record
        is_lent = False
        workspace_id = await pool.acquire()
        try:
            await self.creator.create(evolve(request, workspace_id=workspace_id))
            is_lent = record.workspace_id == workspace_id  # otherwise the service put the task elsewhere
        except UnresolvedCreateError:
            is_lent = True  # its task may run there
            pool.remove(workspace_id, UNDECIDED_TASKS)
            raise
        except NotFoundError as error:
            if not await pool.is_gone(workspace_id):
                raise
            pool.remove(workspace_id, summarize_error(error))
            await self._context.journal.clear_intent(record)
            return False
        finally:
            if not is_lent:
                pool.release(workspace_id)
        return True

    async def _fail_start(self, record: ItemRecord, error: Exception) -> BatchOutcome:
        """Return the outcome of an item that didn't get its task, and record it if it is final."""
        if isinstance(error, UnresolvedCreateError):
            self.budget.spend()
            text = f"AmbiguousRequestError: {error.message.removeprefix('AmbiguousRequestError: ')}"
            return await self.finish(record, ItemEnd("ambiguous", error=text, is_final=error.is_final))
        self.budget.refund()
        if isinstance(error, BatchBudgetError):
            return record.outcome()
        if isinstance(error, StoppedError):
            reason = self._context.stop.reason
            text = f"BatchError: {error.message}" + ("" if reason is None else f": {summarize_error(reason)}")
            return await self.finish(record, ItemEnd("error", error=text, is_final=False))
        if isinstance(error, BatchError) or is_fatal(error) or is_transient(error):
            return await self._fail_run(record, error)
        return await self.finish(record, ItemEnd("error", error=summarize_error(error)))

    async def _fail_run(self, record: ItemRecord, error: Exception) -> BatchOutcome:
        """Report an error that no item caused; return the outcome of the item that met it."""
        self._on_fatal_error(as_batch_error(error))
        return await self.finish(record, ItemEnd("error", error=summarize_error(error), is_final=False))

    async def follow(self, record: ItemRecord, *, is_new: bool = False) -> BatchOutcome:
        """Wait for the end of the item's task, and record it. `is_new` says that it was created a moment ago."""
        self.tracker.running[record.position] = record
        try:
            end = await self._watcher.wait_for_end(record.task_id or "", is_new=is_new)
        except RebyteError as error:
            return await self._fail_run(record, error)
        outcome = await self.finish(record, end)
        if end.is_final:
            del self.tracker.running[record.position]
            if self.pool is not None:
                self.pool.release(record.workspace_id)
        elif self.pool is not None:
            self.pool.remove(record.workspace_id, "the tasks on them can't be followed")
        return outcome

    async def cancel(self, record: ItemRecord) -> None:
        """Cancel the item's task until the cancel took effect, and record the task's end."""
        task_id = record.task_id or ""
        try:
            task = await cancel_until_terminal(self._context.tasks, task_id)
            if task.status == TaskStatus.CANCELED:
                end = ItemEnd(TaskStatus.CANCELED.value, task.final_result or None, ended_at=task.completed_at)
                await self.finish(record, end)
            elif task.is_terminal:
                end = await self._watcher.complete(task)
                if end.status != TaskStatus.COMPLETED or end.final_result is not None:
                    await self.finish(record, end)  # else the final result may still appear: the next run reads it
        except RebyteError as error:
            _log.warning("can't cancel the task %s: %s", task_id, error)

    async def finish(self, record: ItemRecord, end: ItemEnd) -> BatchOutcome:
        """Return the item's outcome, and record it if it is final: otherwise the next run continues the item."""
        if not end.is_final:
            return evolve(record.outcome(), status=end.status, error=end.error)
        now = self._context.clock.now()
        ended_at = now if end.ended_at is None else min(now, end.ended_at.timestamp())
        # The server's clock is known to the second only, so it can seem to be before the start that the server gave.
        ended_at = max(ended_at, record.started_at or 0.0)
        error = end.error or explain_end(end.status, end.final_result)
        await self._context.journal.record_outcome(
            record, end.status, final_result=end.final_result, error=error, now=ended_at
        )
        self.tracker.count_recorded()
        return record.outcome()
