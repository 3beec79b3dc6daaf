"""`BatchWorker`: one of the workers that share a batch in PostgreSQL, each on any machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal

from attrs import evolve

from rebyte_async._transport import Transport
from rebyte_async._transport.throttle import ClientThrottle
from rebyte_async.batch.context import Outage, RunContext
from rebyte_async.batch.journal import RunJournal
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.postgres.parts import check_driver, make_worker_store
from rebyte_async.batch.journal.store import JournalLostError, ShardedStore
from rebyte_async.batch.limits import StoppedError, StopSignal
from rebyte_async.batch.outcomes import OutcomeQueue
from rebyte_async.batch.progress import BatchProgress, ProgressTracker
from rebyte_async.batch.runner import BatchRun, check_client, make_settings
from rebyte_async.batch.scheduler import Scheduler
from rebyte_async.batch.settings import Settings, Tuning
from rebyte_async.batch.shards import ShardedItems
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import BatchError, ConfigurationError
from rebyte_async.types import TaskCompletionHints

_log = logging.getLogger("rebyte_async")


class BatchWorker:
    """Runs a part of a batch that is in PostgreSQL, beside other workers: on this machine, or on others.

        await load_items(items, journal)
        worker = BatchWorker(client, journal, concurrency=64)
        async for outcome in worker.run():
            print(outcome.key, outcome.status)

    A worker claims shards of the batch, runs their items, and gives the shards back, until no item is left. Whichever
    worker is killed, loses its database or its network, or is halted, the others continue its items, and make none of
    them twice. Any number of workers may come and go.

    Args:
        client: The client. It has to stay open during the run.
        journal: The batch, whose items are loaded with `load_items`.
        concurrency: How many tasks this worker may have open at once, at least 1.
        on_ambiguous: What happens to an item whose create is ambiguous: `reconcile` looks for its task, `report` ends
            the item as `ambiguous`.
        reconcile_settle: Seconds between two listings of tasks. Both have to show the same before a create counts as
            having made nothing.
        cancel_remote: Whether ending the run early cancels the tasks that this worker has open.
        max_streams: How many tasks are followed by an event stream each. Those beyond it are read at intervals.
        receiver: A `WebhookReceiver` that gets the deliveries about these tasks.
        _tuning: Limits and intervals, for tests.

    Raises:
        ConfigurationError: A setting can't be right.
    """

    def __init__(
        self,
        client: AsyncRebyte,
        journal: PostgresJournal,
        *,
        concurrency: int = 32,
        on_ambiguous: Literal["reconcile", "report"] = "reconcile",
        reconcile_settle: float = 5,
        cancel_remote: bool = False,
        max_streams: int = 256,
        receiver: TaskCompletionHints | None = None,
        _tuning: Tuning | None = None,
    ) -> None:
        check_client(client)
        if not isinstance(journal, PostgresJournal):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"journal must be a PostgresJournal, not {type(journal).__name__}")
        settings = make_settings(
            concurrency=concurrency,
            on_ambiguous=on_ambiguous,
            reconcile_settle=reconcile_settle,
            cancel_remote=cancel_remote,
            max_streams=max_streams,
            receiver=receiver,
            tuning=_tuning,
        )
        check_driver()
        self._client = client
        self._journal = journal
        self._settings = evolve(settings, is_shared=True)

    def run(self) -> BatchRun:
        """Work until no item of the batch is left that this worker may run.

        While other workers have the last shards, this one waits, for they may end before their items do.

        Returns:
            The run: iterate over it for the outcomes of the items that this worker ends, in the order of their ends. It
            starts when it is first read from. It ends with what `BatchRunner.run` may end with. A lost database is
            waited for: ten minutes, unless it can't be reached from the start.
        """
        return BatchRun(self._settings, partial(_Worker, self._client, self._journal, self._settings))


class _Worker:
    """Runs one session with the database after the other: when one is lost, its shards are lost with it."""

    def __init__(
        self, client: AsyncRebyte, journal: PostgresJournal, settings: Settings, outcomes: OutcomeQueue
    ) -> None:
        self._client = client
        self._journal = journal
        self._settings = settings
        self._outcomes = outcomes
        self._transport: Transport = client._transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._outage = Outage(self._transport.time, settings.tuning)
        self._stop = StopSignal()
        self._is_known = False  # whether the batch was opened once
        self._scheduler: Scheduler | None = None
        self._tracker: ProgressTracker | None = None  # that of all sessions
        self._created = 0  # tasks that earlier sessions made

    @property
    def progress(self) -> BatchProgress:
        if self._scheduler is None:
            return BatchProgress()
        progress = self._scheduler.progress
        return evolve(progress, created=progress.created + self._created)

    def stop(self) -> None:
        self._stop.trigger()
        if self._scheduler is not None:
            self._scheduler.stop()

    async def run(self) -> None:
        failure: BaseException | None = BatchError("the worker was cancelled: start it again to continue")
        try:
            with suppress(StoppedError):
                while isinstance(failure := await self._run_session(), JournalLostError):
                    if not self._is_known or self._outage.has_timed_out():
                        return
                    _log.warning("the worker has lost its database, and connects again: %s", failure)
                    await self._stop.guard(self._outage.wait(failure))
        finally:
            self._outcomes.close(failure)

    async def _run_session(self) -> BaseException | None:
        """Claim and run shards for as long as the session lasts, and return the error that ended it."""
        store = make_worker_store(self._journal, self._settings.tuning.session_timeout)
        journal = RunJournal(store, base_url=str(self._transport.base_url))
        context = RunContext(self._client, self._transport, self._settings, journal)
        if self._tracker is None or self._scheduler is None:
            self._tracker = context.tracker
        else:
            self._created += self._scheduler.progress.created
            self._tracker.begin_again()
            context.tracker = self._tracker
        self._scheduler = Scheduler(context, self._outcomes, partial(ShardedItems, store=store))
        with self._sharing_pauses(store):
            await self._scheduler.run_once()
        if journal.batch_id:
            self._is_known = True
            self._outage.reset()
        return self._scheduler.failure

    @contextmanager
    def _sharing_pauses(self, store: ShardedStore) -> Generator[None]:
        """Have a 429 of this worker pause the others, and those of the others pause this one."""
        throttle = self._transport.throttle
        assert isinstance(throttle, ClientThrottle)  # noqa: S101 - it is the client's own
        sending: set[asyncio.Task[None]] = set()

        def send(seconds: float) -> None:
            task = asyncio.get_running_loop().create_task(store.pause_workers(seconds))
            sending.add(task)
            task.add_done_callback(sending.discard)
            task.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # a lost session is noticed anyway

        store.on_pause(throttle.pause_quietly)
        throttle.listeners.append(send)
        try:
            yield
        finally:
            throttle.listeners.remove(send)
