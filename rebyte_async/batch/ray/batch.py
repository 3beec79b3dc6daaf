"""`RayBatch`: a batch whose workers are actors of a Ray cluster, and whose outcomes come to the driver."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from rebyte_async._validate import count
from rebyte_async.batch.inputs import Items, check_items
from rebyte_async.batch.ray.cluster import check_cluster
from rebyte_async.batch.ray.driver import RayDriver
from rebyte_async.batch.ray.settings import ClientSettings, GetJournal, WorkerPlan
from rebyte_async.batch.runner import BatchRun, make_settings
from rebyte_async.batch.settings import Tuning
from rebyte_async.errors import ConfigurationError

_count = partial(count, error=ConfigurationError)


class RayBatch(BatchRun):
    """Runs a batch by workers on a Ray cluster. It is a `BatchRun`: iterate over it for the outcomes.

        ray.init()
        journal = PostgresJournal("postgresql://batches@db.example.com/batches", batch="nightly")
        async with RayBatch(items, journal=journal, workers=8) as batch:
            async for outcome in batch:
                print(outcome.key, outcome.status)

    The items are loaded into the journal, and an actor is started for each worker. Ray restarts one that dies, on
    another machine if need be; the others continue its items meanwhile, and make none of them twice. Each item of the
    batch gives one outcome, also one that ended in an earlier run, or by a `BatchWorker` elsewhere. An outcome with the
    status `error` comes last, since another worker may still run its item.

    Ray keeps and shows what it is given, so it is given no key and no password: each worker reads them on its machine.

    Args:
        items: The items, as `load_items` takes them; an empty list continues the batch as it is.
        journal: The batch. Its DSN may have no password: give that by `PGPASSWORD` or `PGPASSFILE` on each machine. Or
            a function, called here and on each worker's machine, that returns the journal.
        workers: How many workers there are, at least 1. Each is an actor that Ray gives a CPU of its own.
        client: How each worker makes its client.
        concurrency: How many tasks each worker may have open at once, at least 1.
        max_new_tasks: How many tasks all workers together may make, from the beginning of the batch on; None for any.
            Items beyond it end `skipped`.
        max_open: How many tasks all workers together may have open at once; None for any.
        on_ambiguous: As `BatchWorker` takes it.
        reconcile_settle: As `BatchWorker` takes it.
        cancel_remote: Whether ending the run early cancels the tasks that are open.
        max_streams: How many tasks each worker follows by an event stream each.
        max_restarts: How often Ray may restart each worker; -1 for any number of times.
        actor_options: Other options of the actors, as Ray takes them, such as `{"resources": {"agents": 1}}`.
        _tuning: Limits and intervals, for tests.

    Iteration raises what iterating over a `BatchRun` may raise. A worker that fails while others can continue is
    logged; its error is raised if items are left when the last worker has ended.

    Raises:
        ConfigurationError: A setting can't be right, or has a secret; the extra `ray` isn't installed, or Ray isn't
            running.
        InvalidRequestError: `items` can't be iterated over.
        JournalError: The journal's DSN can't be read.
    """

    def __init__(
        self,
        items: Items,
        *,
        journal: GetJournal,
        workers: int,
        client: ClientSettings = ClientSettings(),  # noqa: B008 - frozen
        concurrency: int = 32,
        max_new_tasks: int | None = None,
        max_open: int | None = None,
        on_ambiguous: Literal["reconcile", "report"] = "reconcile",
        reconcile_settle: float = 5,
        cancel_remote: bool = False,
        max_streams: int = 256,
        max_restarts: int = 10,
        actor_options: Mapping[str, Any] | None = None,
        _tuning: Tuning | None = None,
    ) -> None:
        check_items(items)
        if not isinstance(client, ClientSettings):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"client must be ClientSettings, not {type(client).__name__}")
        options = {
            "concurrency": concurrency,
            "on_ambiguous": on_ambiguous,
            "reconcile_settle": reconcile_settle,
            "cancel_remote": cancel_remote,
            "max_streams": max_streams,
        }
        settings = make_settings(**options, tuning=_tuning)  # type: ignore[arg-type]
        plan = WorkerPlan(journal=journal, client=client, options={**options, "_tuning": _tuning})
        driver = partial(
            RayDriver,
            items,
            plan.find_journal(),
            limits={"max_new_tasks": max_new_tasks, "max_open": max_open},
            workers=_count("workers", workers),
            max_restarts=_count("max_restarts", max_restarts, minimum=-1),
            actor_options=dict(actor_options or {}),
            tuning=settings.tuning,
        )
        check_cluster(actor_options or {})
        driver = partial(driver, packed=plan.pack())
        total = len(items) if isinstance(items, list | tuple | deque) else None
        super().__init__(settings, driver, total=total)
