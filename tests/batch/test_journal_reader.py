"""Reading a journal: while it is written, after a kill, and never changing it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, JournalReader, read_journal
from rebyte_async.batch.items import to_new_item
from rebyte_async.batch.journal.schema import VERSION
from rebyte_async.emulator import Emulator
from rebyte_async.errors import ConfigurationError, JournalError
from support.batches import items, runner_of
from support.journals import BEGIN, make_rows, open_run_journal, row, write_journal

_KILLED = """
import asyncio, os, sys
from rebyte_async.batch.journal import NewItem, RunJournal, store_at
async def main():
    journal = RunJournal(store_at(sys.argv[1]))
    await journal.begin_run()
    await journal.accept([NewItem("written", b"", '{"key": "written", "prompt": "Do it"}', b"")])
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal that doesn't exist yet, with characters that are special in an address."""
    return tmp_path / "run #1?.sqlite3"


def test_items_come_in_order_and_whole(path: Path) -> None:
    """Every item comes once, in the order of acceptance, with its request and its outcome."""
    rows = make_rows(1_234)
    write_journal(path, rows)
    with read_journal(path) as reader:
        items = list(reader.items())
        assert [item.position for item in items] == list(range(1, 1_235))
        for item, given in zip(items, rows, strict=True):
            assert {name: getattr(item, name) for name in ("key", "state", "status", "task_id", "attempts")} == {
                name: given[name] for name in ("key", "state", "status", "task_id", "attempts")
            }
        assert BatchItem.from_json(items[0].request) == BatchItem(
            "chapter-00000", "Summarise chapter 0 of the report.\nKeep it short.", executor="claude"
        )
        assert [item.key for item in reader.items(statuses=["failed", "error"])] == [
            given["key"] for given in rows if given["status"] in {"failed", "error"}
        ]
        assert not list(reader.items(statuses=[]))


def test_counts_and_outcomes(path: Path) -> None:
    """The counts cover all items; the outcomes are those of ended items, with aware times."""
    open_ = {"status": None, "final_result": None, "ended_at": None}
    rows = [
        row("a", started_at=BEGIN + 1, ended_at=BEGIN + 3),
        row("b", status="failed", error="No", final_result=None, ended_at=BEGIN + 9),
        row("c", state="running", **open_),
        row("d", state="creating", task_id=None, **open_),
        row("e", state="accepted", task_id=None, started_at=None, **open_),
    ]
    with read_journal(write_journal(path, rows)) as reader:
        counts = reader.counts()
        assert counts.total == 5
        assert counts.states == {"ended": 2, "running": 1, "creating": 1, "accepted": 1}
        assert counts.statuses == {"completed": 1, "failed": 1}
        assert counts.first_started_at == datetime.fromtimestamp(BEGIN, UTC)
        assert counts.last_ended_at == datetime.fromtimestamp(BEGIN + 9, UTC)
        first, second = reader.outcomes()
        assert (first.key, first.final_result, first.started_at) == (
            "a",
            "hello",
            datetime.fromtimestamp(BEGIN + 1, UTC),
        )
        assert (second.status, second.error) == ("failed", "No")


async def test_a_live_run_is_seen(path: Path) -> None:
    """The writes of a run are visible at once, a snapshot doesn't change, and the run isn't disturbed."""
    async with open_run_journal(path) as journal:
        reader = await asyncio.to_thread(read_journal, path)
        last = await asyncio.to_thread(reader.last_run)
        assert last is not None
        assert (last.pid, last.is_under_way) == (os.getpid(), True)
        assert (reader.batch_id, await _count(reader)) == (journal.batch_id, 0)
        moment = reader.snapshot()
        await asyncio.to_thread(moment.__enter__)
        assert await _count(reader) == 0
        await journal.accept([to_new_item(BatchItem("a", "Do it"))])
        assert await _count(reader) == 0
        await asyncio.to_thread(moment.__exit__, None, None, None)
        assert await _count(reader) == 1
        reader.close()
        await journal.end_run()
    await asyncio.to_thread(_look_at_an_ended_run, path)


async def _count(reader: JournalReader) -> int:
    return (await asyncio.to_thread(reader.counts)).total


def _look_at_an_ended_run(path: Path) -> None:
    with read_journal(path) as reader:
        last = reader.last_run()
        assert last is not None
        assert last.is_under_way is False
        assert last.ended_at is not None


def test_the_writes_of_a_killed_run_are_read(path: Path) -> None:
    """Commits before a kill are in the log beside the file, and are read from there."""
    write_journal(path, [row("before")])
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert killed.returncode == -9
    with read_journal(path) as reader:
        assert [item.key for item in reader.items()] == ["before", "written"]


def test_reading_changes_nothing(path: Path) -> None:
    """The file is the same afterwards, and the reader's connection can't write."""
    write_journal(path, make_rows(20))
    before = path.read_bytes()
    with read_journal(path) as reader:
        list(reader.items())
        source: Any = reader._source
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            source.connection.execute("DELETE FROM items")
    assert path.read_bytes() == before


_READ = """
import rebyte_async.batch
rebyte_async.batch.read_journal
drop_privileges()
with rebyte_async.batch.read_journal(sys.argv[1]) as reader:
    print(reader.counts().total, *(item.key for item in reader.items()))
"""


def test_a_journal_in_a_folder_that_cant_be_written(sealed: Path, unprivileged: Callable[..., str]) -> None:
    """An archived journal on a read-only medium can be read."""
    path = write_journal(sealed / "run #1?.sqlite3", [row("a"), row("b")])
    path.chmod(0o444)
    sealed.chmod(0o555)
    assert unprivileged(_READ, str(path)) == "2 a b"
    assert list(sealed.iterdir()) == [path]


def test_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    """The error says what is wrong with the file, which isn't changed."""
    with pytest.raises(JournalError, match=r"there is no journal .*run #1\?\.sqlite3"):
        read_journal(path)
    assert not path.exists()
    with pytest.raises(JournalError, match="is not a file"):
        read_journal(tmp_path)
    path.write_bytes(b"Not a database at all" * 100)
    with pytest.raises(JournalError, match="is not a batch journal"):
        read_journal(path)
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="not a batch journal"):
        read_journal(path)
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE items (key)")
    other.close()
    with pytest.raises(JournalError, match="is not a batch journal"):
        read_journal(path)


def test_a_newer_format_is_refused(path: Path) -> None:
    """A journal of a later version is refused instead of misread."""
    write_journal(path, [row("a")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA user_version={VERSION + 1}")
    other.close()
    with pytest.raises(JournalError, match=f"has the format {VERSION + 1}.*use a newer one"):
        read_journal(path)


def test_damage_is_reported(path: Path) -> None:
    """Damage in the middle of the file is an error that names it, whenever it is met."""
    write_journal(path, make_rows(500))
    content = bytearray(path.read_bytes())
    for page in range(4 * 4096, len(content), 4096):
        content[page : page + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"run #1\?\.sqlite3.*damaged"), read_journal(path) as reader:
        list(reader.items())


@pytest.mark.parametrize(
    ("status", "final_result", "error"),
    [
        ("completed", "hello", None),
        ("failed", "  No disk\nis left", "No disk"),
        ("failed", None, "the task failed without giving a reason"),
        ("canceled", "hello", "the task was canceled"),
        ("expired", None, "the task ended with the status 'expired'"),
    ],
)
def test_an_outcome_that_is_not_completed_has_an_error(
    path: Path, status: str, final_result: str | None, error: str | None
) -> None:
    """Also in a journal that has none, since an earlier version wrote it."""
    rows = [row("a", status=status, final_result=final_result), row("b", status="failed", error="No")]
    with read_journal(write_journal(path, rows)) as reader:
        assert [outcome.error for outcome in reader.outcomes()] == [error, "No"]


def _read_total(path: Path) -> int | None:
    with read_journal(path) as reader:
        return reader.total


async def test_a_journal_keeps_how_many_items_there_are(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The number that the last run was given, or that of its list, with items that weren't taken yet; else None."""
    del emulator
    totals: list[int | None] = []
    for given, total in ((iter(items(3)), None), (items(3), None), (items(3), 5), (iter(items(3)), 700)):
        runner = runner_of(client, journal=tmp_path / "run.sqlite3", concurrency=1)
        async with runner.run(given, total=total) as run:
            await anext(run)
        totals.append(await asyncio.to_thread(_read_total, tmp_path / "run.sqlite3"))
    assert totals == [None, 3, 5, 700]
    with pytest.raises(ConfigurationError, match="total must be"):
        runner_of(client).run([], total=-1)
