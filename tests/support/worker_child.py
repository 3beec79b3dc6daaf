"""A worker of a batch in its own process, which can end or stop itself before a statement of its session."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from functools import partial
from typing import Any

import psycopg
from attrs import asdict, evolve, frozen

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchWorker, PostgresJournal
from rebyte_async.batch.journal.store import JournalLostError
from support.batches import QUICK_TUNING
from support.clients import QUICK

__all__ = ["NO_JOURNAL", "SESSION_TIMEOUT", "WorkerJob", "run"]

NO_JOURNAL = 3
"""The exit code of a worker that didn't find the database when it began."""

SESSION_TIMEOUT = 1.0
"""Seconds of silence after which the database ends a session of these workers."""
TUNING = evolve(
    QUICK_TUNING,
    send_timeout=0.5,
    claim_interval=0.1,
    session_timeout=SESSION_TIMEOUT,
    outage_timeout=30,
    longest_retry_delay=0.3,
)


@frozen(kw_only=True)
class WorkerJob:
    """The work of the process."""

    url: str
    key: str
    dsn: str
    batch: str
    number: int
    """The worker's number, which its requests have as the header `X-Worker`."""
    outcomes: str
    """The file for the outcomes, one on each line as they come."""
    statement: int | None = None
    """The number of the session's statement before which the process signals itself; None for none."""
    signal: int = signal.Signals["SIGKILL"]
    """The signal."""
    concurrency: int = 6


def run(job: WorkerJob) -> None:
    """Work until the batch is done, or to the end of this process."""
    if job.statement is not None:
        _signal_before(job.statement, job.signal)
    try:
        asyncio.run(_run(job))
    except JournalLostError:  # a worker that loses its session later connects again
        sys.exit(NO_JOURNAL)


async def _run(job: WorkerJob) -> None:
    file = os.open(job.outcomes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    headers = {"X-Worker": str(job.number)}
    async with AsyncRebyte(job.key, base_url=job.url, retry=QUICK, headers=headers) as client:
        journal = PostgresJournal(job.dsn, batch=job.batch)
        worker = BatchWorker(
            client,
            journal,
            concurrency=job.concurrency,
            reconcile_settle=0.25,
            max_streams=4,
            _tuning=TUNING,
        )
        async for outcome in worker.run():
            os.write(file, json.dumps(asdict(outcome), default=str).encode() + b"\n")


def _signal_before(statement: int, number: int) -> None:
    """Signal this process before a session runs one of its statements, counted from now."""
    left = statement

    class Traced(psycopg.Connection[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)
            return super().execute(*arguments, **options)

    setattr(psycopg, "connect", partial(Traced.connect))  # noqa: B010 - mypy allows no assignment
