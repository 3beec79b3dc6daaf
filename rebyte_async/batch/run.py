"""A run of a batch, as applications see it."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Self

from anyio import CancelScope

from rebyte_async.batch.inputs import check_items, source_of
from rebyte_async.batch.journal import Journal
from rebyte_async.batch.outputs import Outlet
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.scheduler import Engine
from rebyte_async.errors import BatchError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from rebyte_async._transport import Transport
    from rebyte_async.batch.inputs import Items
    from rebyte_async.batch.outcomes import BatchOutcome
    from rebyte_async.batch.plan import Plan
    from rebyte_async.client import AsyncRebyte

__all__ = ["BatchRun"]

_LOOK_AHEAD = 64


class BatchRun:
    """The outcomes of a batch, as an async iterator. Made by `BatchRunner.run`.

    It starts when it is first read from, or entered. Read it to its end, or use it as an async context manager so
    that leaving ends it:

        async with runner.run(items) as run:
            async for outcome in run:
                ...

    Ending it before its end, by `aclose`, by leaving the context or by cancelling whoever reads from it, starts
    nothing new and keeps the journal true: the next run goes on where this one stopped. Remote tasks go on too, unless
    the runner has `cancel_remote`. Who reads slowly slows down the taking of items, not the tasks.

    Raises, from iteration, behind the outcomes of what ran:
        BatchError: Two items have one key, an item has changed since an earlier run, the key is refused, the service
            couldn't be reached for ten minutes, or the run was cancelled.
        JournalError: The journal can't be used or written.
        Exception: What the iterable of the items raised; or, and at once, what nobody reckoned with, such as an error
            of a session or a receiver of the application's own. The next run goes on, and makes nothing twice.
    """

    def __init__(
        self,
        client: AsyncRebyte,
        transport: Transport,
        plan: Plan,
        journal: str | os.PathLike[str] | None,
        items: Items,
        *,
        ordered: bool,
    ) -> None:
        check_items(items)
        self._client = client
        self._transport = transport
        self._plan = plan
        self._journal = Journal(journal, base_url=str(transport.base))
        self._items: Items | None = items
        self._outlet = Outlet(2 * plan.concurrency + _LOOK_AHEAD, ordered)
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False

    @property
    def progress(self) -> BatchProgress:
        """How far it is: a snapshot, at little cost."""
        return BatchProgress() if self._engine is None else self._engine.progress

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchOutcome:
        if self._over:
            raise StopAsyncIteration
        self._start()
        try:
            outcome = await self._outlet.get()
        except asyncio.CancelledError:
            await self._stopped()
            raise
        except GeneratorExit:  # nothing can be awaited any more
            raise
        except BaseException:
            self._over = True
            await self._stopped()
            raise
        if outcome is None:
            self._over = True
            raise StopAsyncIteration
        return outcome

    async def __aenter__(self) -> Self:
        if self._over:
            raise BatchError("the run is over: runner.run makes another one")
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the run, if it hasn't ended: nothing new is started, and the journal is let go of."""
        self._over = True
        await self._stopped()

    def _start(self) -> None:
        if self._task is not None or self._items is None:
            return
        source, self._items = source_of(self._items), None
        self._engine = Engine(self._client, self._transport, self._plan, self._journal, source, self._outlet)
        self._loop = asyncio.get_running_loop()
        # The engine knows nothing of this object, so that its end can be noticed when it is dropped.
        self._task = self._loop.create_task(self._engine.run(), name="rebyte-batch")

    async def _stopped(self) -> None:
        if self._task is None or self._engine is None or self._task.done():
            return
        self._engine.stop()
        with CancelScope(shield=True):
            await asyncio.wait([self._task])

    def __del__(self) -> None:
        task: asyncio.Task[None] | None = getattr(self, "_task", None)
        if task is None:
            return  # it never started, or couldn't be made
        engine, loop = self._engine, self._loop
        if engine is None or loop is None or task.done() or loop.is_closed():
            return
        warnings.warn(
            "a batch run was dropped before its end: read it to its end, or use it with `async with`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
        loop.call_soon_threadsafe(engine.stop)
