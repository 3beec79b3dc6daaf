"""A run of a batch, as applications see it."""

from __future__ import annotations

import asyncio
import warnings
from types import TracebackType
from typing import Self

from anyio import CancelScope

from rebyte_async.batch.context import RunContext
from rebyte_async.batch.inputs import Items, open_reader
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.outputs import OutcomeQueue
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.scheduler import Scheduler
from rebyte_async.errors import BatchError


class BatchRun:
    """The outcomes of a batch, as an async iterator. `BatchRunner.run` returns one.

    The run starts when it is first read from, or entered. Read it to its end, or use it as an async context manager so
    that leaving the context ends it:

        async with runner.run(items) as run:
            async for outcome in run:
                ...

    Ending a run early, by `aclose`, by leaving the context or by cancelling the task that reads from it, starts nothing
    new and keeps the journal true: the next run continues where this one stopped. Remote tasks continue as well, unless
    the runner has `cancel_remote`. Slow reading slows down the taking of items, not the tasks.

    Iteration raises, after the outcomes of what ran:
        BatchError: Two items have one key, an item has changed since an earlier run, the key is refused, the service
            couldn't be reached for ten minutes, or the run was cancelled.
        JournalError: The journal can't be used or written.
        Exception: What the iterable of the items raised. Or, at once, an unexpected error, such as one of a session or
            a receiver of the application's own. The next run continues, and makes nothing twice.
    """

    def __init__(self, context: RunContext, items: Items, *, ordered: bool) -> None:
        settings = context.settings
        self._context = context
        self._items: Items | None = items
        self._outcomes = OutcomeQueue(2 * settings.concurrency + settings.tuning.unread_outcomes, ordered)
        self._scheduler: Scheduler | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    @property
    def progress(self) -> BatchProgress:
        """The figures of this moment. They are cheap to get."""
        return BatchProgress() if self._scheduler is None else self._scheduler.progress

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchOutcome:
        if self._is_over:
            raise StopAsyncIteration
        self._start()
        try:
            outcome = await self._outcomes.get()
        except GeneratorExit:  # nothing can be awaited any more
            raise
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._is_over = True
            await self._stop()
            raise
        if outcome is None:
            self._is_over = True
            raise StopAsyncIteration
        return outcome

    async def __aenter__(self) -> Self:
        if self._is_over:
            raise BatchError("the run is over: call runner.run again for another run")
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the run if it hasn't ended: nothing new is started, and the journal is closed."""
        self._is_over = True
        await self._stop()

    def _start(self) -> None:
        if self._items is None:
            return
        reader, self._items = open_reader(self._items), None
        # The scheduler has no reference to this object, so that `__del__` runs when the application drops it.
        self._scheduler = Scheduler(self._context, reader, self._outcomes)
        self._task = asyncio.get_running_loop().create_task(self._scheduler.run(), name="rebyte-batch")

    async def _stop(self) -> None:
        if self._task is None or self._scheduler is None or self._task.done():
            return
        self._scheduler.stop()
        with CancelScope(shield=True):
            await asyncio.wait([self._task])

    def __del__(self) -> None:
        if self._task is None or self._scheduler is None or self._task.done() or self._task.get_loop().is_closed():
            return
        warnings.warn(
            "a batch run was dropped before its end: read it to its end, or use it with `async with`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
        self._task.get_loop().call_soon_threadsafe(self._scheduler.stop)
