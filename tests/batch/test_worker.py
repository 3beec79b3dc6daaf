"""Workers that share a batch in PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from rebyte_async import AsyncRebyte, __version__
from rebyte_async._clock import Time
from rebyte_async.batch import BatchItem, BatchOutcome, BatchWorker, Journal, PostgresJournal, load_items
from rebyte_async.batch.journal.postgres.parts import make_worker_store
from rebyte_async.batch.journal.store import ShardedStore
from rebyte_async.emulator import Drop, Emulator, Match, Status, Turn, hold
from rebyte_async.emulator import text as says
from rebyte_async.errors import BatchError, ConfigurationError, JournalBusyError, JournalError
from support.batches import QUICK_TUNING, creates, items, texts
from support.clients import KEY, client_of
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


def end_sessions(journal: PostgresJournal) -> int:
    """End all sessions of a batch, as a database does that is restarted; return how many there were."""
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'rebyte-async batch' AND datname = current_database()"
    )
    return len(psql(journal.dsn, statement))


async def test_a_worker_that_loses_its_session_continues_with_another(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """It connects again, finds out what its creates made, and follows its tasks: none is made twice."""
    journal = postgres.make_journal(shards=4)
    await load_items(items(12), journal)
    emulator.script(says("a"), hold(), says("b"), times=None)
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"), times=2)
    run = worker_of(client, journal, concurrency=8).run()
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=6)
        assert await asyncio.to_thread(end_sessions, journal) == 1
        emulator.release()
        found = [await reading] + [outcome async for outcome in run]
    assert sorted(outcome.key for outcome in found) == sorted(item.key for item in items(12))
    assert {outcome.status for outcome in found} == {"completed"}
    assert texts(emulator) == sorted(f"Do {number}" for number in range(12))
    assert run.progress.ended == {"completed": 12}
    assert (run.progress.taken, run.progress.running) == (12, 0)


async def test_a_shard_has_one_owner(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """A worker waits while another has the last shards, and takes them over when that one ends before their items."""
    journal = postgres.make_journal(shards=1)
    await load_items(items(2), journal)
    emulator.script(says("a"), hold(), says("b"), times=None)
    async with worker_of(client, journal).run() as first:
        reading = asyncio.ensure_future(anext(first))
        await emulator.reached(count=2)
        second = asyncio.ensure_future(work(worker_of(client, journal)))
        await asyncio.sleep(0.2)
        assert not second.done()
        reading.cancel()
    emulator.release()
    assert (await second).keys() == {"k0", "k1"}
    assert creates(emulator) == 2


async def test_a_429_pauses_all_workers(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """The pause that one worker is asked for holds the calls of the others back too."""
    journal = postgres.make_journal()
    await load_items(items(4), journal)
    stores: list[ShardedStore] = [make_worker_store(journal, 30) for _ in range(2)]
    heard: list[tuple[int, float]] = []
    came = asyncio.Event()
    for number, store in enumerate(stores):

        def hear(seconds: float, number: int = number) -> None:
            heard.append((number, seconds))
            came.set()

        store.on_pause(hear)
        await store.open(None)
    await stores[0].pause_workers(12.5)
    assert not await stores[1].has_open_items(range(64))  # it comes with whatever the session does next
    async with asyncio.timeout(10):
        await came.wait()
    for store in stores:
        await store.aclose()
    assert heard == [(1, 12.5)]
    emulator.faults.add(Status(429), Match("POST", "/tasks"), times=2)
    assert len(await work(worker_of(client, journal))) == 4


async def test_the_budget_is_that_of_the_batch(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """However many workers there are, they make no more tasks together than the batch may."""
    journal = postgres.make_journal()
    await load_items(items(30), journal, max_new_tasks=7)
    found = await asyncio.gather(*(work(worker_of(client, journal, concurrency=4)) for _ in range(3)))
    statuses = Counter(outcome.status for part in found for outcome in part.values())
    assert statuses["completed"] == 7 == len(emulator.tasks)
    assert await work(worker_of(client, journal)) != {}
    assert len(emulator.tasks) == 7
    await load_items(items(30), journal, max_new_tasks=30)
    assert Counter(outcome.status for outcome in (await work(worker_of(client, journal))).values()) == {"completed": 23}


async def test_a_create_that_made_nothing_is_not_counted(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """Neither a refused item, nor one whose create was shown to have made nothing, takes from the budget."""
    journal = postgres.make_journal()
    await load_items(items(4), journal, max_new_tasks=3)
    emulator.faults.add(Status(422, code="bad"), Match("POST", "/tasks"), times=1)
    emulator.faults.add(Drop("before"), Match("POST", "/tasks"), times=1)
    found = await work(worker_of(client, journal, concurrency=1))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 3, "error": 1}


async def test_the_open_tasks_are_limited_for_all_workers(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """Workers wait while the batch has as many tasks open as it may."""
    journal = postgres.make_journal()
    await load_items(items(12), journal, max_open=3)
    most = 0

    def respond(_: Turn) -> Any:
        nonlocal most
        most = max(most, sum(task.status == "running" for task in emulator.tasks))
        return [says("x")]

    emulator.script(respond, times=None)
    found = await asyncio.gather(*(work(worker_of(client, journal, concurrency=8)) for _ in range(2)))
    assert sum(map(len, found)) == 12
    assert 1 <= most <= 3


async def test_a_worker_of_another_version_is_refused(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """While workers of one version are at work, one of another is refused; the first of a new version is recorded."""
    journal = postgres.make_journal()
    await load_items(items(1), journal)
    store: ShardedStore = make_worker_store(journal, 30)
    await store.open(None)
    set_version = "UPDATE rebyte_async.batches SET sdk_version = '0.0.9'"
    await asyncio.to_thread(psql, journal.dsn, set_version)
    with pytest.raises(JournalError, match=r"is run by rebyte-async 0\.0\.9, and this is "):
        await work(worker_of(client, journal))
    assert len(emulator.log) == 0
    await store.aclose()
    assert len(await work(worker_of(client, journal))) == 1
    assert await asyncio.to_thread(psql, journal.dsn, "SELECT sdk_version FROM rebyte_async.batches") == [
        (__version__,)
    ]


async def test_a_worker_for_another_address_is_refused(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """The first worker records the service; elsewhere the batch's tasks don't exist."""
    journal = postgres.make_journal()
    await load_items(items(1), journal)
    await work(worker_of(client, journal))
    async with Emulator() as other, client_of(other.url) as elsewhere:
        with pytest.raises(BatchError, match=r"is of a batch on http.*, and this client talks to http"):
            await work(worker_of(elsewhere, journal))
        assert len(other.log) == 0
    assert creates(emulator) == 1


@pytest.mark.parametrize("dsn", ["postgresql://127.0.0.1:1/nowhere", None])
async def test_a_worker_without_its_batch_ends_at_once(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres, dsn: str | None
) -> None:
    """A database that can't be reached from the start isn't waited for, and neither is a batch that isn't loaded."""
    other = postgres.make_journal("other")
    await load_items(items(1), other)
    journal = PostgresJournal(dsn or other.dsn, batch="batch")
    message = "can't connect" if dsn else "has no batch 'batch': load its items first; it has 'other'"
    with pytest.raises(JournalError, match=message):
        await work(worker_of(client, journal))
    assert len(emulator.log) == 0


async def test_a_whole_batch_and_its_workers_exclude_each_other(client: AsyncRebyte, postgres: Postgres) -> None:
    """Who has the batch alone lets no worker in, and the other way round."""
    journal = postgres.make_journal()
    await load_items(items(1), journal)
    async with Journal(journal):
        with pytest.raises(JournalBusyError, match="in use by a run that has it alone"):
            await work(worker_of(client, journal))
    store: ShardedStore = make_worker_store(journal, 30)
    await store.open(None)
    with pytest.raises(JournalBusyError):
        await Journal(journal).open()
    await store.aclose()


async def test_a_refused_key_ends_a_worker(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """The error is raised, no item fails because of it, and another worker continues."""
    journal = postgres.make_journal()
    await load_items(items(5), journal)
    emulator.faults.add(Status(401), Match("POST", "/tasks"), times=None)
    with pytest.raises(BatchError, match="InvalidAPIKeyError"):
        await work(worker_of(client, journal))
    emulator.faults.clear()
    assert Counter(outcome.status for outcome in (await work(worker_of(client, journal))).values()) == {"completed": 5}


async def test_an_item_that_cannot_be_followed_is_left_to_another_worker(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """A worker gives it up once, and ends; the next one gets the task's own end."""
    journal = postgres.make_journal()
    await load_items(items(2), journal)
    emulator.faults.add(Status(503), Match("GET", "/tasks/.*"), times=None)
    found = await work(worker_of(client, journal, tuning={"outage_timeout": 0.1}))
    assert Counter(outcome.status for outcome in found.values()) == {"error": 2}
    emulator.faults.clear()
    again = await work(worker_of(client, journal))
    assert Counter(outcome.status for outcome in again.values()) == {"completed": 2}
    assert creates(emulator) == 2


@pytest.mark.parametrize("is_canceled", [False, True])
async def test_a_worker_that_is_ended_cancels_its_own_tasks_alone(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres, is_canceled: bool
) -> None:
    """With `cancel_remote` the tasks of its shards are canceled, and not those of another worker."""
    journal = postgres.make_journal(shards=8)
    await load_items(items(8), journal)
    emulator.script(says("a"), hold(), says("b"), times=None)
    async with worker_of(client, journal, concurrency=3).run() as other:
        reading = asyncio.ensure_future(anext(other))
        await emulator.reached(count=3)
        async with worker_of(client, journal, concurrency=2, cancel_remote=is_canceled).run() as run:
            ending = asyncio.ensure_future(anext(run))
            await emulator.reached(count=5)
            while run.progress.running < 2:
                await asyncio.sleep(0.01)
            ending.cancel()
        canceled = sum(task.status == "canceled" for task in emulator.tasks)
        assert canceled >= 2 if is_canceled else canceled == 0
        assert other.progress.running >= 3
        reading.cancel()
    emulator.release()


async def test_a_create_is_not_sent_long_after_its_intent(emulator: Emulator, postgres: Postgres) -> None:
    """A worker that stood still between an intent and its create doesn't send it, but records another intent first."""
    journal = postgres.make_journal()
    await load_items(items(3), journal)
    ahead = 0.0

    def read_calendar() -> float:
        """Jump on by 20 seconds whenever it is read, for the first ten times."""
        nonlocal ahead
        ahead = min(ahead + 20, 200)
        return time.time() + ahead

    emulator.add_key(KEY)
    async with client_of(emulator.url, _time=Time(wall=read_calendar)) as late:
        found = await work(worker_of(late, journal, tuning={"send_timeout": 10}, concurrency=1))
    assert ahead == 200
    assert Counter((outcome.status, outcome.attempts) for outcome in found.values()) == {("completed", 1): 3}
    assert len(emulator.tasks) == 3
    bodies = [record.body for record in emulator.log.select("POST", "/tasks")]
    assert len(bodies) >= 3
    assert sum(map(bool, bodies)) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([*items(2), BatchItem("k0", "Do 0")], "the key 'k0' comes twice"),
        ([*items(5_000), BatchItem("k0", "Do 0", origin="rows.csv, line 9")], "rows.csv, line 9: the key 'k0' comes"),
        ([BatchItem("a\0b", "Do")], "has a NUL character"),
        ([BatchItem("old", "Do more")], r"is in the journal with another prompt \(\"Do\"\)"),
        ([BatchItem("new", "Do", files=[io.BytesIO(b"x")])], "has a file that isn't a path"),
        ([*items(1), "no item"], "items must give BatchItem, not str"),
        ([BatchItem("new", "Do", metadata={"x": object()})], "can't be written as JSON"),
    ],
)
async def test_a_load_is_whole_or_nothing(postgres: Postgres, given: list[Any], message: str) -> None:
    """An item that can't be loaded is named, and none of its load is in the batch."""
    journal = postgres.make_journal()
    assert await load_items([BatchItem("old", "Do")], journal) == 1
    with pytest.raises(BatchError, match=message):
        await load_items(given, journal)
    assert await asyncio.to_thread(psql, journal.dsn, "SELECT key FROM rebyte_async.items") == [("old",)]


async def test_what_the_iterable_of_a_load_raises_is_raised(postgres: Postgres) -> None:
    """The application gets its own error, and nothing is loaded."""
    journal = postgres.make_journal()

    def supply() -> Iterator[BatchItem]:
        yield from items(3)
        raise LookupError("my own")

    with pytest.raises(LookupError, match="my own"):
        await load_items(supply(), journal)
    assert await asyncio.to_thread(psql, journal.dsn, "SELECT count(*) FROM rebyte_async.items") == [(0,)]


@pytest.mark.parametrize("limits", [{"max_new_tasks": -1}, {"max_open": 0}, {"max_open": "3"}])
async def test_limits_are_checked(postgres: Postgres, limits: dict[str, Any]) -> None:
    """A limit that can't be right is refused before the database is opened."""
    with pytest.raises(ConfigurationError):
        await load_items(items(1), postgres.make_journal(), **limits)


def test_a_worker_takes_a_batch_in_a_database_alone() -> None:
    """The path of a file is refused."""
    journal: Any = "run.sqlite3"
    with pytest.raises(ConfigurationError, match="journal must be a PostgresJournal, not str"):
        BatchWorker(client_of("http://127.0.0.1:1/v1"), journal)
