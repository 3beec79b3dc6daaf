"""Batches as applications see them: `BatchRunner`, which runs them, and `BatchRun`, which gives the outcomes."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Literal, Protocol, Self

from anyio import CancelScope

from rebyte_async._validate import count, seconds
from rebyte_async.batch.agent_computers import check_workspaces
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.inputs import Items, check_items, open_reader
from rebyte_async.batch.intake import GivenItems
from rebyte_async.batch.journal import JournalAt, RunJournal, store_at
from rebyte_async.batch.outcomes import BatchOutcome, OutcomeQueue
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.scheduler import Scheduler
from rebyte_async.batch.settings import Settings, Tuning
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import BatchError, ConfigurationError
from rebyte_async.types import TaskCompletionHints

_count = partial(count, error=ConfigurationError)


class RunProcess(Protocol):
    """What a `BatchRun` runs in a task of its own."""

    @property
    def progress(self) -> BatchProgress:
        """The figures of this moment."""
        ...

    async def run(self) -> None:
        """Run to the end, and close the queue of outcomes with the error that ended it, if one did."""
        ...

    def stop(self) -> None:
        """End the run now."""
        ...


class BatchRun:
    """The outcomes of a batch, as an async iterator. `BatchRunner.run` returns one.

    The run starts when it is first read from, or entered. Read it to its end, or use it as an async context manager so
    that leaving the context ends it:

        async with runner.run(items) as run:
            async for outcome in run:
                ...

    Ending a run early, by `aclose`, by leaving the context or by cancelling the task that reads from it, starts nothing
    new and keeps the journal correct: the next run continues where this one stopped. Remote tasks continue as well,
    unless the runner has `cancel_remote`. Slow reading slows down the intake of items, not the tasks.

    Iteration raises, after the outcomes of what ran:
        BatchError: Two items have one key, an item has changed since an earlier run, the API key is refused, the
            service couldn't be reached for ten minutes, or the run was cancelled.
        JournalError: The journal can't be used or written.
        Exception: What the iterable of the items raised. Or, at once, an unexpected error, such as one of a session or
            a receiver of the application's own. The next run continues, and makes nothing twice.
    """

    _task: asyncio.Task[None] | None = None  # here too, for `__del__` of what couldn't be made

    def __init__(
        self,
        settings: Settings,
        begin: Callable[[OutcomeQueue], RunProcess],
        *,
        ordered: bool = False,
        total: int | None = None,
    ) -> None:
        self._total = total
        self._begin: Callable[[OutcomeQueue], RunProcess] | None = begin
        self._outcomes = OutcomeQueue(2 * settings.concurrency + settings.tuning.unread_outcomes, ordered)
        self._process: RunProcess | None = None
        self._is_over = False

    @property
    def progress(self) -> BatchProgress:
        """The figures of this moment. They are cheap to get."""
        return BatchProgress(total=self._total) if self._process is None else self._process.progress

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
        if self._begin is None:
            return
        begin, self._begin = self._begin, None
        # The process has no reference to this object, so that `__del__` runs when the application drops it.
        self._process = begin(self._outcomes)
        self._task = asyncio.get_running_loop().create_task(self._process.run(), name="rebyte-batch")

    async def _stop(self) -> None:
        if self._task is None or self._process is None or self._task.done():
            return
        self._process.stop()
        with CancelScope(shield=True):
            await asyncio.wait([self._task])

    def __del__(self) -> None:
        if self._task is None or self._process is None or self._task.done() or self._task.get_loop().is_closed():
            return
        warnings.warn(
            "a batch run was dropped before its end: read it to its end, or use it with `async with`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
        self._task.get_loop().call_soon_threadsafe(self._process.stop)


def check_client(client: object) -> None:
    if not isinstance(client, AsyncRebyte):
        raise ConfigurationError(f"client must be an AsyncRebyte, not {type(client).__name__}")


def make_settings(
    *,
    concurrency: int,
    max_new_tasks: int | None = None,
    on_ambiguous: Literal["reconcile", "report"],
    reconcile_settle: float,
    cancel_remote: bool,
    max_streams: int,
    workspaces: int | Sequence[str] | None = None,
    receiver: TaskCompletionHints | None = None,
    tuning: Tuning | None,
) -> Settings:
    """Check the arguments of a runner or a worker.

    Raises:
        ConfigurationError: One of them can't be right.
    """
    if on_ambiguous not in ("reconcile", "report"):
        raise ConfigurationError(f"on_ambiguous must be 'reconcile' or 'report', not {on_ambiguous!r:.80}")
    if receiver is not None and not callable(getattr(receiver, "ended", None)):
        raise ConfigurationError(f"receiver must be a WebhookReceiver, not {type(receiver).__name__}")
    return Settings(
        concurrency=_count("concurrency", concurrency, minimum=1),
        max_new_tasks=None if max_new_tasks is None else _count("max_new_tasks", max_new_tasks, minimum=0),
        on_ambiguous=on_ambiguous,
        settle=seconds("reconcile_settle", reconcile_settle, finite=True, error=ConfigurationError),
        cancel_remote=bool(cancel_remote),
        max_streams=_count("max_streams", max_streams, minimum=0),
        workspaces=check_workspaces(workspaces),
        receiver=receiver,
        tuning=tuning or Tuning(),
    )


class BatchRunner:
    """Runs batches of tasks: several at once, and each item once, even if this process is killed.

        runner = BatchRunner(client, journal="run.sqlite3", concurrency=64)
        async for outcome in runner.run(items):
            print(outcome.key, outcome.status, outcome.final_result)

    With a journal, a killed run continues where it stopped when the same items are given again: items that have ended
    give their stored outcomes, tasks that run are waited for, and items that weren't started are started. A create that
    was in flight is first looked for among the service's tasks.

    Args:
        client: The client. It has to stay open during the run.
        concurrency: How many tasks may be open at once, at least 1. Those that an earlier run left open count.
        journal: The path of the journal, which is created if it doesn't exist, or a `PostgresJournal`, whose batch no
            other may use meanwhile (`BatchWorker` shares it). None keeps the journal only during the run, so that
            nothing survives this process.
        max_new_tasks: How many tasks one run may make; items beyond it end `skipped`, and the next run starts them.
            An ambiguous create that can't be decided counts.
        on_ambiguous: What happens to an item whose create is ambiguous: `reconcile` looks for its task, `report` ends
            the item as `ambiguous`.
        reconcile_settle: Seconds between two listings of tasks. Both have to show the same before a create counts as
            having made nothing.
        cancel_remote: Whether ending a run early cancels the tasks that are open.
        max_streams: How many tasks are followed by an event stream each. Those beyond it are read at intervals.
        workspaces: How many agent computers to create for the batch, or the ids of existing ones: items then run on
            these, one at a time on each. None has the service provision one for each item without a `workspace_id`.
        receiver: A `WebhookReceiver` that gets the deliveries about these tasks. No stream is held open then: a task is
            read when a delivery reports its end, and once a minute in case none comes.
        _tuning: Limits and intervals, for tests.

    Raises:
        ConfigurationError: A setting can't be right.
    """

    def __init__(
        self,
        client: AsyncRebyte,
        *,
        concurrency: int = 32,
        journal: JournalAt = None,
        max_new_tasks: int | None = None,
        on_ambiguous: Literal["reconcile", "report"] = "reconcile",
        reconcile_settle: float = 5,
        cancel_remote: bool = False,
        max_streams: int = 256,
        workspaces: int | Sequence[str] | None = None,
        receiver: TaskCompletionHints | None = None,
        _tuning: Tuning | None = None,
    ) -> None:
        check_client(client)
        store_at(journal)  # checks the path
        self._client = client
        self._journal = journal
        self._settings = make_settings(
            concurrency=concurrency,
            max_new_tasks=max_new_tasks,
            on_ambiguous=on_ambiguous,
            reconcile_settle=reconcile_settle,
            cancel_remote=cancel_remote,
            max_streams=max_streams,
            workspaces=workspaces,
            receiver=receiver,
            tuning=_tuning,
        )

    def run(self, items: Items, *, ordered: bool = False, total: int | None = None) -> BatchRun:
        """Run a batch.

        Args:
            items: The items, which are read as there is room for them. An iterable that is neither a list, tuple or
                deque nor async is read in a thread.
            ordered: Whether outcomes come in the order of their items. An item that takes long then holds up later
                outcomes, and in the end the intake of new items.
            total: How many items there are, if that is known, for `progress.total` and `eta`; None for the length of a
                list, tuple or deque. The journal keeps the number for those who read it.

        Returns:
            The run: iterate over it for the outcomes, one for each item. It starts when it is first read from.

        Raises:
            InvalidRequestError: `items` can't be iterated over.
            ConfigurationError: `total` is no number of items.
        """
        check_items(items)
        if total is None:
            total = len(items) if isinstance(items, list | tuple | deque) else None
        else:
            total = _count("total", total, minimum=0)
        transport = self._client._transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package
        journal = RunJournal(store_at(self._journal), base_url=str(transport.base_url))

        def begin(outcomes: OutcomeQueue) -> Scheduler:
            context = RunContext(self._client, transport, self._settings, journal)
            return Scheduler(context, outcomes, partial(GivenItems, reader=open_reader(items), total=total))

        return BatchRun(self._settings, begin, ordered=ordered, total=total)
