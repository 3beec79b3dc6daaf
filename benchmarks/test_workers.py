"""A batch in PostgreSQL with one, two and four workers: items a second, CPU, and the work of the database.

The emulator, the database and each worker are processes of their own. On two cores they share them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.batch_client import supply
from benchmarks.test_batch import emulator
from rebyte_async.batch import PostgresJournal, load_items
from support.postgres import Postgres, psql

if TYPE_CHECKING:
    from benchmarks.conftest import Figures

COUNT = 4_000
AT_ONCE = 256
"""Tasks that all workers together have open."""
WORKER = Path(__file__).with_name("batch_worker.py")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that syncs every commit, unlike that of the tests."""
    server = Postgres()
    server.execute("ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()")
    yield server
    server.close()


def work(url: str, journal: PostgresJournal, workers: int) -> list[dict[str, Any]]:
    """Have some workers run a batch, and return what each of them took."""
    command = [sys.executable, str(WORKER), url, journal.dsn, journal.batch, str(AT_ONCE // workers)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(workers)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in processes]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers(figures: Figures, postgres: Postgres, workers: int) -> None:
    journal = postgres.make_journal()
    began = perf_counter()
    asyncio.run(load_items(supply(COUNT), journal))
    loaded = perf_counter() - began
    position = psql(journal.dsn, "SELECT pg_current_wal_lsn()::text")[0][0]
    with emulator() as url:
        took = work(url, journal, workers)
    assert sum(one["items"] for one in took) == COUNT
    written = psql(journal.dsn, f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{position}')")[0][0]
    size = psql(journal.dsn, "SELECT pg_total_relation_size('rebyte_async.items')")[0][0]
    what = f"batch of {COUNT:,}, {workers} worker{'' if workers == 1 else 's'}"
    figures.add(what, "items a second, with the emulator", COUNT / max(one["seconds"] for one in took))
    figures.add(what, "CPU an item, ms", sum(one["cpu"] for one in took) / COUNT * 1000)
    figures.add(what, "statements an item", sum(one["statements"] for one in took) / COUNT)
    figures.add(what, "write-ahead log, bytes an item", float(written) / COUNT)
    figures.add(what, "table and indexes, bytes an item", size / COUNT)
    if workers == 1:
        figures.add(what, "items a second loaded", COUNT / loaded)
