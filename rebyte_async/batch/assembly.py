"""Put the parts of a run together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from rebyte_async.batch.agent_computers import AgentComputerPool
from rebyte_async.batch.creates import TaskCreator
from rebyte_async.batch.failures import Outage
from rebyte_async.batch.item_run import RunParts
from rebyte_async.batch.limits import CreateBudget, PromptLocks
from rebyte_async.batch.reconciler import Reconciler, RunWatermark
from rebyte_async.batch.stopping import StopSignal, stoppable
from rebyte_async.batch.tracker import ProgressTracker
from rebyte_async.batch.watcher import TaskWatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async._transport import Transport
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.settings import Settings
    from rebyte_async.client import AsyncRebyte
    from rebyte_async.errors import BatchError

__all__ = ["assemble"]


def assemble(
    client: AsyncRebyte,
    transport: Transport,
    settings: Settings,
    journal: Journal,
    *,
    on_fatal_error: Callable[[BatchError], None],
) -> RunParts:
    """Return the parts of a run, connected.

    Args:
        client: The client.
        transport: The client's transport.
        settings: How the batch is run.
        journal: The journal, which needn't be open yet.
        on_fatal_error: Called with an error that rules out further creates.
    """
    tasks, tuning, clock, time = client.tasks, settings.tuning, transport.server_clock, transport.time
    outage, stop, locks = Outage(time, tuning), StopSignal(), PromptLocks()
    watermark = RunWatermark(tasks=tasks, journal=journal, clock=clock, newest_tasks=tuning.newest_tasks)
    reconciler = Reconciler(
        tasks=tasks,
        journal=journal,
        clock=clock,
        time=time,
        settings=settings,
        locks=locks,
        watermark=watermark,
    )
    creator = TaskCreator(
        tasks=evolve(tasks, transport=stoppable(transport, stop)),
        wait_until_open=transport.throttle.wait_until_open,
        journal=journal,
        clock=clock,
        reconciler=reconciler,
        watermark=watermark,
        locks=locks,
        stop=stop,
        outage=outage,
        tuning=tuning,
    )
    return RunParts(
        tasks=tasks,
        journal=journal,
        creator=creator,
        reconciler=reconciler,
        watcher=TaskWatcher(
            tasks=tasks, time=time, tuning=tuning, max_streams=settings.max_streams, hints=settings.receiver
        ),
        pool=None
        if settings.workspaces is None
        else AgentComputerPool(
            wanted=settings.workspaces,
            computers=client.agent_computers,
            journal=journal,
            clock=clock,
            time=time,
            tuning=tuning,
            settle=settings.settle,
            before_create=watermark.take,
            stop=stop,
        ),
        budget=CreateBudget(settings.max_new_tasks),
        outage=outage,
        stop=stop,
        clock=clock,
        tracker=ProgressTracker(time=time, clock=clock, window=tuning.progress_window),
        on_fatal_error=on_fatal_error,
    )
