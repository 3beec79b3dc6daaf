"""A batch in its own process, which can kill itself between two statements of its journal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner
from support.clients import QUICK

__all__ = ["Job", "items_of", "run"]


@frozen(kw_only=True)
class Job:
    """The work of the process."""

    url: str
    key: str
    journal: str
    outcomes: str
    """The file for the outcomes, one on each line as they come."""
    batch: str
    """The prefix of all keys and prompts."""
    pairs: int
    adjacent: bool = False
    """Whether the two items of a pair follow each other, so that their creates are sent at the same time."""
    statement: int | None = None
    """The number of the journal's statement before which the process kills itself; None for none."""


def items_of(job: Job) -> list[BatchItem]:
    """Pairs of items with one prompt each: every other pair is equal, the others differ in the model."""
    places = [(pair, twin) for twin in "ab" for pair in range(job.pairs)]
    return [
        BatchItem(
            f"{job.batch}-{pair}{twin}",
            f"{job.batch}: work on {pair}",
            model=f"{job.batch}-{pair}{twin}" if pair % 2 else None,
        )
        for pair, twin in (sorted(places) if job.adjacent else places)
    ]


def run(job: Job) -> None:
    """Run the batch to its end, or to the end of this process."""
    if job.statement is not None:
        _die_before(job.statement)
    asyncio.run(_run(job))


async def _run(job: Job) -> None:
    file = os.open(job.outcomes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with AsyncRebyte(job.key, base_url=job.url, retry=QUICK) as client:
        runner = BatchRunner(client, concurrency=12, journal=Path(job.journal), reconcile_settle=0.25, max_streams=8)
        async for outcome in runner.run(items_of(job)):
            os.write(file, json.dumps(asdict(outcome), default=str).encode() + b"\n")


def _die_before(statement: int) -> None:
    """Kill this process before SQLite runs one of its statements, counted from now."""
    left = statement

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.Signals["SIGKILL"])

    class Traced(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.set_trace_callback(count)

    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Traced))  # noqa: B010 - mypy allows no assignment
