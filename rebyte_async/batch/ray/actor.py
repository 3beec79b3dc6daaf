"""The actor that runs a worker in a process of the Ray cluster, and what it reports to the driver."""

from __future__ import annotations

import asyncio
from collections import deque

from anyio import move_on_after
from attrs import frozen

from rebyte_async._sync import Signal
from rebyte_async.batch.failures import summarize_error
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.ray.settings import WorkerPlan
from rebyte_async.batch.runner import BatchRun
from rebyte_async.errors import BatchError, RebyteError

_MAX_UNREAD = 256
"""Outcomes that wait for the driver. A worker that has as many takes no further items."""


@frozen(kw_only=True)
class WorkerReport:
    """What a worker has done since its last report."""

    outcomes: list[BatchOutcome]
    progress: BatchProgress
    is_over: bool = False
    """Whether the worker has ended, and reports no more."""
    failure: RebyteError | None = None
    """The error that ended it; None if no item is left that it may run."""


class WorkerActor:
    """Runs a `BatchWorker`, from the first call of `report` on.

    Ray makes it, and makes it anew in another process when that dies: the new one then claims what is free.

    Args:
        packed: The plan, as `WorkerPlan.pack` wrote it.
    """

    def __init__(self, packed: bytes) -> None:
        self._packed = packed  # read later: an actor that fails here is never restarted, and can't say why
        self._outcomes: deque[BatchOutcome] = deque()
        self._run: BatchRun | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: RebyteError | None = None
        self._changed = Signal()

    async def report(self, patience: float) -> WorkerReport:
        """Return what has ended, as soon as something has.

        Args:
            patience: After how many seconds to report, even if nothing has.
        """
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="rebyte-ray-worker")
            self._task.add_done_callback(lambda _: self._changed.notify())
        task = self._task
        with move_on_after(patience):
            await self._changed.wait_for(lambda: self._outcomes or task.done())
        outcomes = list(self._outcomes)
        self._outcomes.clear()
        self._changed.notify()
        progress = BatchProgress() if self._run is None else self._run.progress
        return WorkerReport(outcomes=outcomes, progress=progress, is_over=task.done(), failure=self._failure)

    async def stop(self) -> None:
        """End the worker now: its shards are given back, and its journal and its client are closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            plan = await asyncio.to_thread(WorkerPlan.unpack, self._packed)
            async with plan.client.make_client() as client, plan.make_worker(client).run() as run:
                self._run = run
                async for outcome in run:
                    self._outcomes.append(outcome)
                    self._changed.notify()
                    await self._changed.wait_for(lambda: len(self._outcomes) < _MAX_UNREAD)
        except RebyteError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - the driver may not have the class of the error
            self._failure = BatchError(f"a worker failed: {summarize_error(error)}")
