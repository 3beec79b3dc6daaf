"""Put the parts of a run together."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from rebyte_async._transport import Transport
from rebyte_async.batch.agent_computers import AgentComputerPool
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.creates import TaskCreator
from rebyte_async.batch.failures import Outage
from rebyte_async.batch.journal import RunJournal
from rebyte_async.batch.limits import CreateBudget, PromptLocks
from rebyte_async.batch.progress import ProgressTracker
from rebyte_async.batch.reconciler import Reconciler, RunWatermark
from rebyte_async.batch.settings import Settings
from rebyte_async.batch.stopping import stoppable
from rebyte_async.batch.watcher import TaskWatcher
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import BatchError


@frozen(kw_only=True)
class RunParts:
    """The parts of a run, which all of its items share."""

    context: RunContext
    creator: TaskCreator
    reconciler: Reconciler
    watcher: TaskWatcher
    pool: AgentComputerPool | None
    """The batch's own agent computers, if it has some."""
    budget: CreateBudget
    outage: Outage
    """Shared with the creates, so that an upload that works ends it as well."""
    tracker: ProgressTracker
    on_fatal_error: Callable[[BatchError], None]
    """Called with an error that rules out further creates; the run ends with it."""


def assemble(
    client: AsyncRebyte,
    transport: Transport,
    settings: Settings,
    journal: RunJournal,
    *,
    on_fatal_error: Callable[[BatchError], None],
) -> RunParts:
    """Return the parts of a run, connected.

    `on_fatal_error` is called with an error that rules out further creates.
    """
    tasks, time, clock = client.tasks, transport.time, transport.server_clock
    context = RunContext(
        tasks=tasks, computers=client.agent_computers, journal=journal, clock=clock, time=time, settings=settings
    )
    locks, outage, watermark = PromptLocks(), context.new_outage(), RunWatermark(context)
    reconciler = Reconciler(context, locks, watermark)
    creator = TaskCreator(
        context=context,
        tasks=evolve(tasks, transport=stoppable(transport, context.stop)),
        wait_until_open=transport.throttle.wait_until_open,
        reconciler=reconciler,
        watermark=watermark,
        locks=locks,
        outage=outage,
    )
    tuning, wanted = settings.tuning, settings.workspaces
    pool = None if wanted is None else AgentComputerPool(context, wanted=wanted, before_create=watermark.take)
    return RunParts(
        context=context,
        creator=creator,
        reconciler=reconciler,
        watcher=TaskWatcher(
            tasks=tasks, time=time, tuning=tuning, max_streams=settings.max_streams, hints=settings.receiver
        ),
        pool=pool,
        budget=CreateBudget(settings.max_new_tasks),
        outage=outage,
        tracker=ProgressTracker(time=time, clock=clock, window=tuning.progress_window),
        on_fatal_error=on_fatal_error,
    )
