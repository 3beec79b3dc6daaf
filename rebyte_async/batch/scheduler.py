"""The life of a run: open the journal, have items taken, and end so that another run can continue it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from anyio import CancelScope, CapacityLimiter, create_task_group, move_on_after

from rebyte_async.batch.context import RunContext
from rebyte_async.batch.dispatcher import ItemDispatcher
from rebyte_async.batch.failures import unwrap_group
from rebyte_async.batch.intake import Intake
from rebyte_async.batch.journal import ItemRecord
from rebyte_async.batch.outcomes import OutcomeQueue
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.run_scope import RunScope
from rebyte_async.errors import BatchError, JournalError

MakeIntake = Callable[[RunContext, RunScope, ItemDispatcher], Intake]


class Scheduler:
    """Runs one batch once. It fills the queue of outcomes, and knows nothing of who reads them."""

    def __init__(self, context: RunContext, outcomes: OutcomeQueue, make_intake: MakeIntake) -> None:
        self._context = context
        self._outcomes = outcomes
        self._scope = RunScope(context.stop)
        self._dispatcher = ItemDispatcher(context, self._scope, outcomes)
        self._intake = make_intake(context, self._scope, self._dispatcher)
        self._was_interrupted = False  # whether the application ended the run
        self._is_complete = False  # whether all items have their outcomes

    @property
    def progress(self) -> BatchProgress:
        return self._dispatcher.progress

    @property
    def failure(self) -> BaseException | None:
        """The error that the run ended with."""
        return self._scope.failure

    async def run(self) -> None:
        """Run to the end. A failure is raised through the queue of outcomes."""
        try:
            await self.run_once()
        finally:  # the queue is closed whatever happens, else its reader would wait forever
            self._outcomes.close(self._scope.failure)

    async def run_once(self) -> None:
        """Run to the end, and leave the queue of outcomes open. Afterwards `failure` is known."""
        try:
            with self._scope.whole:
                await self._take_items()
        except asyncio.CancelledError:
            self._was_interrupted = True
            raise
        except BaseException as error:
            self._scope.set_failure(error)
            if isinstance(unwrap_group(error), KeyboardInterrupt | SystemExit):
                raise
        finally:
            try:
                with CancelScope(shield=True):
                    await self._clean_up()
            finally:
                if self._scope.failure is None and not self._is_complete:
                    self._scope.failure = BatchError(
                        "the run was ended before all of its items had outcomes: run the batch again to continue it"
                    )

    def stop(self) -> None:
        """End the run now. Nothing new is started, and the journal stays correct."""
        self._was_interrupted = True
        self._scope.end()

    async def _take_items(self) -> None:
        journal = self._context.journal
        await journal.begin_run()
        async with create_task_group() as background:
            background.start_soon(self._scope.run_part, journal.store.hold)
            background.start_soon(self._scope.run_part, self._dispatcher.runner.reconciler.run)
            await self._intake.run(background)
            background.cancel_scope.cancel()
        self._is_complete = not self._scope.whole.cancel_called

    async def _clean_up(self) -> None:
        """Wait for the creates in flight, cancel remote tasks if asked to, and close the intake and the journal."""
        scope = self._scope
        try:
            # What can't be recorded needn't be waited for: the next run finds out what the creates made.
            patience = 0.0 if isinstance(scope.failure, JournalError) else self._context.tuning.create_drain_timeout
            await scope.try_step(partial(self._dispatcher.runner.creator.drain, patience))
            if self._was_interrupted and self._context.settings.cancel_remote:
                await scope.try_step(self._cancel_remote_tasks)
            if not isinstance(scope.failure, JournalError):
                await scope.try_step(self._context.journal.end_run)
        finally:
            try:
                # The application's own generator may hang or raise.
                with move_on_after(self._context.tuning.create_drain_timeout), suppress(Exception):
                    await self._intake.close()
            finally:
                await scope.try_step(self._context.journal.store.aclose)

    async def _cancel_remote_tasks(self) -> None:
        """Cancel the open tasks, as many as there is time for."""
        permits = CapacityLimiter(self._context.tuning.max_parallel_cancels)

        async def cancel(record: ItemRecord) -> None:
            async with permits:
                await self._dispatcher.runner.cancel(record)

        running = await self._context.journal.store.records_in_state("running")
        with move_on_after(self._context.tuning.cancel_timeout):
            async with create_task_group() as group:
                for record in running:
                    group.start_soon(cancel, record)
