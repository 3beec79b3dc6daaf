"""A journal in PostgreSQL: how it is opened, who may use it, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem, Journal, PostgresJournal, load_items, read_journal
from rebyte_async.batch.items import prompt_hash, to_new_item
from rebyte_async.batch.journal import ItemRecord, NewItem, store_at
from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.postgres.journal import shard_of
from rebyte_async.batch.journal.postgres.opening import Access, open_session
from rebyte_async.emulator import Emulator
from support.batches import creates, items, outcomes_of, runner_of
from support.cutting_proxy import CuttingProxy
from support.postgres import Postgres, psql

END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'rebyte-async batch' AND datname = current_database()"
)
"""Ends the sessions that have the batch of a database open."""


async def test_a_batch_in_a_database_runs_once(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """A runner takes a batch in a database as it takes a file: the second run gives the outcomes of the first."""
    journal = postgres.make_journal()
    first = await outcomes_of(runner_of(client, journal=journal), items(20))
    assert {outcome.status for outcome in first.values()} == {"completed"}
    assert await outcomes_of(runner_of(client, journal=journal), items(20)) == first
    assert creates(emulator) == 20
    counts = await asyncio.to_thread(psql, journal.dsn, "SELECT made, open FROM rebyte_async.runs ORDER BY run")
    assert counts == [(20, 0), (0, 0)]


async def test_a_database_has_several_batches(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """Batches of one database don't know each other's items."""
    one = postgres.make_journal("one")
    two = PostgresJournal(one.dsn, batch="two", shards=3)
    for journal in (one, two):
        found = await outcomes_of(runner_of(client, journal=journal), items(3))
        assert [outcome.status for outcome in found.values()] == ["completed"] * 3
    assert creates(emulator) == 6


async def test_reopened_items_of_a_database_get_a_new_task(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """Between runs, a journal in a database is used like a file."""
    journal = postgres.make_journal()
    await outcomes_of(runner_of(client, journal=journal), items(3))
    async with Journal(journal) as opened:
        assert opened.path is None
        assert await opened.reopen(["completed"], keys=["k0", "k1"]) == 2
    await outcomes_of(runner_of(client, journal=journal), items(3))
    assert creates(emulator) == 5


def test_many_first_uses_at_once_make_one_schema(postgres: Postgres) -> None:
    """Whichever session is the first creates the schema and the batch, and the others find them."""
    place = PostgresJournal(postgres.make_database(), batch="batch")

    def use(_: int) -> str:
        session = open_session(place, Access.LOADER, 30)
        session.close()
        return session.facts.batch_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(use, range(16)))) == 1
    assert psql(place.dsn, "SELECT count(*) FROM rebyte_async.shards") == [(64,)]


async def test_a_role_that_may_only_write_rows_is_enough(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """Once the schema is there, a role needs no more than the documented privileges; before, the error says so."""
    database = postgres.make_database()
    name = str(conninfo_to_dict(database)["dbname"]).replace("test", "worker")  # roles are those of the whole server
    await asyncio.to_thread(psql, database, f"CREATE ROLE {name} LOGIN")
    journal = PostgresJournal(make_conninfo(database, user=name), batch="batch")
    with pytest.raises(errors.JournalError, match="doesn't allow what a journal needs: permission denied"):
        await outcomes_of(runner_of(client, journal=journal), items(1))
    await outcomes_of(runner_of(client, journal=PostgresJournal(database, batch="other")), items(1))
    for grant in (
        f"GRANT USAGE ON SCHEMA rebyte_async TO {name}",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA rebyte_async TO {name}",
    ):
        await asyncio.to_thread(psql, database, grant)
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert [outcome.status for outcome in found.values()] == ["completed"] * 2
    assert creates(emulator) == 3


async def test_a_batch_in_use_is_refused(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """A second user of a whole batch is refused; the first isn't disturbed."""
    journal = postgres.make_journal()
    async with Journal(journal):
        with pytest.raises(errors.JournalBusyError, match="the batch 'batch' is in use by other sessions"):
            await outcomes_of(runner_of(client, journal=journal), items(1))
    assert creates(emulator) == 0
    assert len(await outcomes_of(runner_of(client, journal=journal), items(1))) == 1


def _spoil_version(journal: PostgresJournal, version: int) -> None:
    psql(journal.dsn, f"UPDATE rebyte_async.version SET version = {version}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda journal: _spoil_version(journal, 99), "have the format 99, and .* knows 1: use a newer one"),
        (lambda journal: _spoil_version(journal, 0), "have the format 0, and .* knows 1: use an older one"),
        (lambda journal: psql(journal.dsn, "DELETE FROM rebyte_async.version"), "have the format 0"),
        (lambda journal: psql(journal.dsn, "DROP TABLE rebyte_async.batches CASCADE"), "no journal that this package"),
    ],
)
async def test_a_schema_of_another_version_is_refused(
    client: AsyncRebyte,
    emulator: Emulator,
    postgres: Postgres,
    spoil: Callable[[PostgresJournal], object],
    message: str,
) -> None:
    """The error names both versions, and nothing is sent."""
    journal = postgres.make_journal()
    await outcomes_of(runner_of(client, journal=journal), items(1))
    await asyncio.to_thread(spoil, journal)
    with pytest.raises(errors.JournalError, match=message):
        await outcomes_of(runner_of(client, journal=journal), items(2))
    assert creates(emulator) == 1


async def test_a_batch_with_other_shards_is_refused(
    client: AsyncRebyte, emulator: Emulator, postgres: Postgres
) -> None:
    """The number of shards is fixed with the batch; who doesn't give one takes any."""
    journal = postgres.make_journal(shards=8)
    await outcomes_of(runner_of(client, journal=journal), items(1))
    with pytest.raises(errors.BatchError, match="the batch 'batch' has 8 shards, and not 16"):
        await outcomes_of(runner_of(client, journal=PostgresJournal(journal.dsn, batch="batch", shards=16)), items(1))
    await outcomes_of(runner_of(client, journal=PostgresJournal(journal.dsn, batch="batch")), items(1))
    assert creates(emulator) == 1


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://127.0.0.1:1/x?password=s3cret", "can't connect to the database of the journal"),
        ("postgresql://127.0.0.1/x?pasword=s3cret", "the dsn of the journal can't be read"),
        ("postgresql://user:s3cret@[::1/x", "the dsn of the journal can't be read"),
        ("host=127.0.0.1 port='s3cret", "the dsn of the journal can't be read"),
    ],
)
async def test_a_database_that_cannot_be_reached_is_named(
    client: AsyncRebyte, emulator: Emulator, dsn: str, message: str
) -> None:
    """The error says what is wrong, and shows no password."""
    with pytest.raises(errors.JournalError, match=message) as caught:
        await outcomes_of(runner_of(client, journal=PostgresJournal(dsn, batch="batch")), items(1))
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert "s3cret" not in shown
    assert creates(emulator) == 0


async def test_a_database_that_does_not_exist_is_named(client: AsyncRebyte, postgres: Postgres) -> None:
    """The error is the server's."""
    journal = PostgresJournal(make_conninfo(postgres.dsn, dbname="nowhere"), batch="batch")
    with pytest.raises(errors.JournalError, match='database "nowhere" does not exist'):
        await outcomes_of(runner_of(client, journal=journal), items(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dsn": "db.example.com"}, "dsn must be like postgresql://"),
        ({"dsn": None}, "dsn must be like postgresql://"),
        ({"batch": ""}, "batch must"),
        ({"batch": "a\0b"}, "without NUL"),
        ({"shards": 0}, "shards must"),
        ({"shards": 4_097}, "shards must be at most 4,096"),
    ],
)
def test_a_journal_is_checked_where_it_is_named(arguments: dict[str, Any], message: str) -> None:
    """What can't be right is refused before anything is opened."""
    with pytest.raises(errors.ConfigurationError, match=message):
        PostgresJournal(**({"dsn": "postgresql://db.example.com/x", "batch": "b"} | arguments))


def test_a_journal_shows_no_password_and_pickles() -> None:
    """It goes to other processes whole, and shows its batch alone."""
    journal = PostgresJournal("postgresql://user:s3cret@db.example.com/x", batch="nightly", shards=7)
    assert "s3cret" not in f"{journal!r} {journal} {[journal]}"
    assert pickle.loads(pickle.dumps(journal)) == journal


def test_the_shard_of_a_prompt_never_changes() -> None:
    """The first eight bytes of the prompt's hash, modulo the number of shards: batches that exist rest on it."""
    hashed = prompt_hash(" Summarise the report\r\n")
    assert hashed == prompt_hash("Summarise the report")
    assert [shard_of(hashed, shards) for shards in (1, 64, 4_096)] == [0, 6, 1_798]


async def test_what_postgresql_cannot_keep(postgres: Postgres) -> None:
    """A key with NUL is refused, and NUL characters of agents are replaced; nothing else is disturbed."""
    store = store_at(postgres.make_journal())
    await store.open(None)
    run = await store.begin_run(started_at=1.0, pid=1)
    try:
        good = to_new_item(BatchItem("good", "Do\0it"))
        refused, record = await store.accept_items([NewItem("a\0b", b"", "{}", b""), good], run)
        assert "has a NUL character" in str(refused)
        assert isinstance(record, ItemRecord)
        text = "a\0b\ud800 \N{GRINNING FACE}"
        await store.update_items([record], {"state": "ended", "status": "completed", "final_result": text})
        again = await store.begin_run(started_at=1.0, pid=1)
        (found,) = await store.accept_items([good], again)
        assert isinstance(found, ItemRecord)
        assert found.final_result == "a\N{REPLACEMENT CHARACTER}b? \N{GRINNING FACE}"
    finally:
        await store.aclose()


async def test_a_session_that_ended_writes_nothing(postgres: Postgres) -> None:
    """Once the server has ended its session, a store refuses every write, and another can have the batch."""
    journal = postgres.make_journal()
    store = store_at(journal)
    await store.open(None)
    run = await store.begin_run(started_at=1.0, pid=1)
    await asyncio.to_thread(psql, journal.dsn, END_SESSIONS)
    for _ in range(2):
        with pytest.raises(errors.JournalError, match="can't write the batch 'batch'"):
            await store.accept_items([to_new_item(BatchItem("a", "Do"))], run)
    await store.aclose()
    async with Journal(journal):
        pass


async def test_a_run_whose_shards_were_taken_writes_nothing(postgres: Postgres) -> None:
    """Beside the locks, every write names the owner of the shard: it changes nothing where that is another run."""
    journal = postgres.make_journal()
    store = store_at(journal)
    await store.open(None)
    run = await store.begin_run(started_at=1.0, pid=1)
    (record,) = await store.accept_items([to_new_item(BatchItem("a", "Do"))], run)
    assert isinstance(record, ItemRecord)
    await asyncio.to_thread(psql, journal.dsn, "UPDATE rebyte_async.shards SET run = 7")
    with pytest.raises(errors.JournalError, match="another worker has taken over"):
        await store.update_items([record], {"state": "creating"})
    await store.aclose()
    assert await asyncio.to_thread(psql, journal.dsn, "SELECT state FROM rebyte_async.items") == [("accepted",)]


async def test_only_a_run_must_not_be_silent(postgres: Postgres) -> None:
    """Between runs a journal may stay open as long as the application likes; a run shows that it is alive."""
    store: Any = store_at(postgres.make_journal())
    await store.open(None)
    before = await store._query("SHOW idle_session_timeout")
    await store.begin_run(started_at=1.0, pid=1)
    assert (before, await store._query("SHOW idle_session_timeout")) == ([("0",)], [("30s",)])
    await store.aclose()


def test_a_silent_session_is_ended_by_the_server(postgres: Postgres) -> None:
    """Sessions have the timeouts that free the shards of a machine that vanished."""
    session = open_session(PostgresJournal(postgres.make_database(), batch="batch"), Access.WHOLE, 0.1)
    assert session.execute("SHOW synchronous_commit") == [("on",)]
    assert session.execute("SHOW idle_session_timeout") == [("100ms",)]
    lock = schema.lock_key(session.facts.batch, schema.PRESENCE)
    with psycopg.connect(session.connection.info.dsn, autocommit=True) as other:
        assert other.execute("SELECT pg_try_advisory_lock_shared(%s)", (lock,)).fetchone() == (False,)
        other.execute("SELECT pg_advisory_lock_shared(%s)", (lock,))  # which waits until the server has ended it
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()


async def test_items_are_found_by_indexes_before_their_table_is_analyzed(postgres: Postgres) -> None:
    """The planner takes a batch that was just loaded for a small part of its table, and is given no chance to err."""
    journal = postgres.make_journal()
    await load_items(items(5_000), journal)
    columns = ("state", "task_id")
    update = schema.update_items(columns, is_fenced=True)
    numbers = list(range(1, 65))
    statements: list[tuple[str, list[Any], str]] = [
        (update, [numbers, ["running"] * 64, ["task"] * 64, 1], "items_pkey"),
        (schema.CLAIM_SHARD, [1, [3], schema.lock_key(1, 0)], "items_open"),
        (schema.SELECT_HAS_OPEN, [1, [3]], "items_open"),
        (schema.SELECT_ACCEPTED_IN_SHARD, [1, 5, 0, 64], "items_open"),
        (schema.SELECT_OPEN_IN_SHARD, [1, 5], "items_open"),
        (schema.SELECT_PAGE, [1, 0, 1, 1, None, None, 500], "items_pkey"),
        (schema.SELECT_OWNED_TASKS, [["a"] * 64, 1, 1], "items_task"),
        (schema.SELECT_KNOWN_PROMPTS, [[b"a"] * 64, 1], "items_prompt"),
        (schema.SELECT_UNDECIDED, [[b"a"] * 64, 1], "items_prompt"),
    ]

    def explain() -> list[str]:
        with psycopg.connect(journal.dsn, autocommit=True) as connection:
            return [
                "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}".encode(), values))
                for statement, values, _ in statements
            ]

    for (_, _, index), plan in zip(statements, await asyncio.to_thread(explain), strict=True):
        assert index in plan, plan
        assert "Seq Scan on items" not in plan, plan


class Pooler(CuttingProxy):
    """A proxy that gives sessions numbers of its own, as PgBouncer does."""

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        changed = asyncio.StreamReader()

        async def change() -> None:
            while data := await reader.read(65536):
                begin = data.find(b"K\0\0\0\x0c")  # the message that has the number of the session
                if begin >= 0:
                    data = data[: begin + 5] + b"\0\0\0\x07" + data[begin + 9 :]
                changed.feed_data(data)
            changed.feed_eof()

        changing = asyncio.ensure_future(change())
        await super()._pass(changed, writer, limit)
        changing.cancel()


async def test_a_pooler_is_refused(client: AsyncRebyte, emulator: Emulator, postgres: Postgres) -> None:
    """Behind a pooler a statement may get another session than that which has the locks."""
    async with Pooler(postgres.socket) as pooler:
        port = pooler.url.rpartition(":")[2]
        journal = PostgresJournal(make_conninfo(postgres.make_database(), host="127.0.0.1", port=port), batch="batch")
        with pytest.raises(errors.JournalError, match="behind a pooler such as PgBouncer"):
            await outcomes_of(runner_of(client, journal=journal), items(1))
    assert creates(emulator) == 0


async def test_a_load_whose_session_ends_loads_nothing(postgres: Postgres) -> None:
    """The error says what happened, and the load can be made again."""
    journal = postgres.make_journal()
    await load_items(items(1), journal)

    def supply() -> Iterator[BatchItem]:
        yield from items(3_000)
        psql(journal.dsn, END_SESSIONS)
        yield BatchItem("last", "Do more")

    with pytest.raises(errors.JournalError, match="can't use the database of the journal"):
        await load_items(supply(), journal)
    assert await asyncio.to_thread(psql, journal.dsn, "SELECT count(*) FROM rebyte_async.items") == [(1,)]


async def test_a_reader_whose_session_ends_raises(postgres: Postgres) -> None:
    """A reader raises the error of a journal, also when it is closed afterwards."""
    journal = postgres.make_journal()
    await load_items(items(3), journal)

    def read() -> None:
        with read_journal(journal) as reader:
            assert (reader.path, reader.name, reader.total, reader.base_url) == (None, "batch 'batch'", None, "")
            with pytest.raises(errors.JournalError, match="can't use the database"), reader.snapshot():
                psql(journal.dsn, END_SESSIONS)
                reader.counts()

    await asyncio.to_thread(read)


_WITHOUT = """
import sys
if "psycopg" in sys.argv:
    sys.modules["psycopg"] = None
from rebyte_async.batch import PostgresJournal, read_journal
try:
    read_journal(PostgresJournal("postgresql://db/x", batch="batch"))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_the_extra_is_named() -> None:
    """Naming a journal needs no driver; opening it says how to get one."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT, "psycopg"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError ")
    assert "pip install 'rebyte-async[postgres]'" in done.stdout


def test_a_driver_without_its_library_has_an_error_of_its_own() -> None:
    """Where the extra is installed and libpq isn't, the error asks for libpq, on one line."""
    env = os.environ | {"PSYCOPG_IMPL": "unknown"}  # fails as psycopg does where it finds no libpq
    done = subprocess.run([sys.executable, "-c", _WITHOUT], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError psycopg finds no libpq: ")
    assert "pip install 'psycopg[binary]'" in done.stdout
    assert done.stdout.count("\n") == 1
