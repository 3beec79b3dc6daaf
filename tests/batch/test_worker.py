"""Workers that share a batch in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from attrs import evolve

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchOutcome, BatchWorker, PostgresJournal, load_items
from rebyte_async.emulator import Emulator
from support.batches import QUICK_TUNING, creates, items
from support.clients import client_of
from support.postgres import Postgres, psql

QUICK_WORKER = evolve(QUICK_TUNING, send_timeout=0.5, claim_interval=0.05, full_batch_interval=0.02)


def worker_of(client: AsyncRebyte, journal: PostgresJournal, **options: Any) -> BatchWorker:
    """A worker that hardly waits."""
    options.setdefault("reconcile_settle", 0.05)
    tuning = evolve(QUICK_WORKER, **options.pop("tuning", {}))
    return BatchWorker(client, journal, _tuning=tuning, **options)


async def work(worker: BatchWorker) -> dict[str, BatchOutcome]:
    """Have a worker work to the end, and return the outcomes that it gave."""
    return {outcome.key: outcome async for outcome in worker.run()}


async def test_workers_share_a_batch(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """Each item is run by one of them, also where prompts are equal."""
    journal = postgres.make_journal()
    given = [*items(40), *(evolve(item, key=f"twin-{item.key}") for item in items(40))]
    assert await load_items(given, journal) == 80
    async with client_of(emulator.url) as other:
        found = await asyncio.gather(*(work(worker_of(one, journal, concurrency=8)) for one in (client, other)))
    assert sorted([*found[0], *found[1]]) == sorted(item.key for item in given)
    assert {outcome.status for part in found for outcome in part.values()} == {"completed"}
    assert len({outcome.task_id for part in found for outcome in part.values()}) == 80
    assert min(len(part) for part in found) > 0
    assert creates(emulator) == 80
    counts = await asyncio.to_thread(psql, journal.dsn, "SELECT sum(made), sum(open) FROM rebyte_async.runs")
    assert counts == [(80, 0)]


async def test_a_batch_that_is_done_needs_no_request(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """A worker that comes too late ends at once."""
    journal = postgres.make_journal()
    await load_items(items(3), journal)
    assert Counter(outcome.status for outcome in (await work(worker_of(client, journal))).values()) == {"completed": 3}
    emulator.log.clear()
    assert await work(worker_of(client, journal)) == {}
    assert len(emulator.log) == 0
    assert await load_items([*items(3), BatchItem("new", "Do more", metadata={"row": 1})], journal) == 1
    (outcome,) = (await work(worker_of(client, journal))).values()
    assert (outcome.key, outcome.metadata) == ("new", {"row": 1})
