"""One item of a run: upload its files, create its task, wait for the task's end, and record the outcome."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from attrs import define

from rebyte_async.batch.agent_computers import UNDECIDED_TASKS, AgentComputerPool
from rebyte_async.batch.assembly import RunParts
from rebyte_async.batch.creates import CreateRequest
from rebyte_async.batch.failures import (
    UnresolvedCreateError,
    as_batch_error,
    is_fatal,
    is_transient,
    summarize_error,
)
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal.records import ItemRecord, time_of
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.stopping import StoppedError
from rebyte_async.errors import BatchError, JournalError, NotFoundError, RebyteError
from rebyte_async.resources.waiting import cancel_until_terminal
from rebyte_async.types import Task
from rebyte_async.types.files import FileRef
from rebyte_async.types.statuses import TaskStatus

_log = logging.getLogger("rebyte_async")


@define(eq=False)
class ItemRun:
    """Carries one item through a run. Each step is in the journal before the next begins."""

    parts: RunParts
    record: ItemRecord

    async def start(self, item: BatchItem) -> BatchOutcome | None:
        """Make the item's task, for which budget was reserved; return None when it has one, else its outcome.

        Raises:
            BaseException: An error that no item can cause. Nothing is recorded of it.
        """
        try:
            files = await self._upload(item)
        except Exception as error:  # noqa: BLE001 - the application's own upload sources may raise anything
            return await self._fail_start(error)
        try:
            await self._create(item, files)
        except JournalError:
            raise
        except RebyteError as error:
            return await self._fail_start(error)
        self.parts.budget.spend()
        self.record.request = ""  # a request may be long, and many tasks may be open
        return None

    async def _upload(self, item: BatchItem) -> Sequence[FileRef]:
        """Upload the item's files, before its intent is recorded: an upload makes no create ambiguous."""
        if not item.files:
            return ()
        return await self.parts.outage.retry_through(lambda: self.parts.context.tasks.attach(item.files))

    async def _create(self, item: BatchItem, files: Sequence[FileRef]) -> None:
        pool = self.parts.pool
        if pool is None:
            await self._create_on(item, files, item.workspace_id)
            return
        while not await self._create_in_pool(pool, item, files):
            pass

    async def _create_on(self, item: BatchItem, files: Sequence[FileRef], workspace_id: str | None) -> None:
        request = CreateRequest(item=item, record=self.record, files=files, workspace_id=workspace_id)
        await self.parts.creator.create(request)

    async def _create_in_pool(self, pool: AgentComputerPool, item: BatchItem, files: Sequence[FileRef]) -> bool:
        """Make the item's task on an agent computer of the pool; return False if that one no longer exists."""
        workspace_id = await pool.acquire()
        try:
            await self._create_on(item, files, workspace_id)
        except UnresolvedCreateError:
            pool.remove(workspace_id, UNDECIDED_TASKS)
            raise
        except NotFoundError as error:
            is_gone = await pool.is_gone(workspace_id)
            if is_gone:
                pool.remove(workspace_id, summarize_error(error))
                await self.parts.context.journal.clear_intent(self.record)
            pool.release(workspace_id)
            if not is_gone:
                raise
            return False
        except BaseException:
            pool.release(workspace_id)
            raise
        if self.record.workspace_id != workspace_id:
            pool.release(workspace_id)  # the service put the task elsewhere
        return True

    async def _fail_start(self, error: Exception) -> BatchOutcome:
        """Return the outcome of an item that didn't get its task, and record it if it is final."""
        parts = self.parts
        if isinstance(error, UnresolvedCreateError):
            parts.budget.spend()
            text = f"AmbiguousRequestError: {error.message.removeprefix('AmbiguousRequestError: ')}"
            if error.is_final:
                return await self.finish("ambiguous", error=text)
            return self._report_unfinished("ambiguous", text)
        parts.budget.refund()
        if isinstance(error, StoppedError):
            reason = "" if parts.context.stop.reason is None else f": {summarize_error(parts.context.stop.reason)}"
            return self._report_unfinished("error", f"BatchError: {error.message}{reason}")
        if isinstance(error, BatchError) or is_fatal(error) or is_transient(error):
            parts.on_fatal_error(as_batch_error(error))
            return self._report_unfinished("error", summarize_error(error))
        return await self.finish("error", error=summarize_error(error))

    async def follow(self, *, is_new: bool = False) -> BatchOutcome:
        """Wait for the end of the item's task, and record it. `is_new` says that it was created a moment ago."""
        parts, record = self.parts, self.record
        parts.tracker.running[record.position] = record
        try:
            end = await parts.watcher.wait_for_end(record.task_id or "", is_new=is_new)
        except RebyteError as error:
            parts.on_fatal_error(as_batch_error(error))
            return self._report_unfinished("error", summarize_error(error))
        if not end.is_final:
            if parts.pool is not None:
                parts.pool.remove(record.workspace_id, "the tasks on them can't be followed")
            return self._report_unfinished(end.status, end.error)
        outcome = await self.finish(end.status, final_result=end.final_result, error=end.error)
        del parts.tracker.running[record.position]
        if parts.pool is not None:
            parts.pool.release(record.workspace_id)
        return outcome

    async def cancel(self) -> None:
        """Cancel the item's task until the cancel took effect, and record the task's end."""
        task_id = self.record.task_id or ""
        try:
            task = await cancel_until_terminal(self.parts.context.tasks, task_id)
            if task.is_terminal:
                await self._finish_with(task)
        except RebyteError as error:
            _log.warning("can't cancel the task %s: %s", task_id, error)

    async def _finish_with(self, task: Task) -> None:
        """Record the end of a task that was canceled, or had ended before."""
        if task.status == TaskStatus.CANCELED:
            await self.finish(TaskStatus.CANCELED.value, final_result=task.final_result or None)
            return
        end = await self.parts.watcher.complete(task)
        if end.status == TaskStatus.COMPLETED and end.final_result is None:
            return  # the final result may still appear: the next run reads it
        await self.finish(end.status, final_result=end.final_result, error=end.error)

    async def finish(self, status: str, *, final_result: str | None = None, error: str | None = None) -> BatchOutcome:
        """Record the item's outcome, and return it."""
        # The server's clock is known to the second only, so it can seem to be before the start that the server gave.
        context = self.parts.context
        now = max(context.clock.now(), self.record.started_at or 0.0)
        await context.journal.record_outcome(self.record, status, final_result=final_result, error=error, now=now)
        self.parts.tracker.count_recorded()
        return self.record.outcome()

    def _report_unfinished(self, status: str, error: str | None) -> BatchOutcome:
        """Return the outcome of an item that isn't recorded as ended: the next run continues it."""
        return BatchOutcome(
            key=self.record.key,
            status=status,
            task_id=self.record.task_id,
            error=error,
            attempts=self.record.attempts,
            started_at=time_of(self.record.started_at),
        )
