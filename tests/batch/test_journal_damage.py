"""A damaged journal is refused, or it is as it was: no damage gives another answer or another kind of error.

`REBYTE_DAMAGES=1000` sets how many damages are tried, and `REBYTE_DAMAGE_SEED=7` the seed of all that is random.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch import BatchItem, read_journal
from rebyte_async.batch.items import to_new_item
from rebyte_async.batch.journal import RunJournal, store_at
from rebyte_async.batch.journal.integrity import add_row_sum, row_sum
from rebyte_async.batch.journal.schema import COUNT_COMMIT, save
from rebyte_async.errors import JournalError
from support.journals import row, write_journal

DAMAGES = int(os.environ.get("REBYTE_DAMAGES", "60"))
SEED = int(os.environ.get("REBYTE_DAMAGE_SEED", "1"))
NAME = "run.sqlite3"
MOMENTS = ("early", "checkpointed", "late", "closed")
"""When the files of one journal are taken, one moment after the other."""
ITEMS = [BatchItem(f"k{number}", f"Do {number} " + "x" * 300) for number in range(40)]

pytestmark = pytest.mark.timeout(60 + DAMAGES)


async def write_items(journal: RunJournal, first: int, last: int) -> None:
    """Write items in every state."""
    records: list[Any] = await journal.accept([to_new_item(item) for item in ITEMS[first:last]])
    for number, record in enumerate(records):
        if number % 8 != 0:
            await journal.record_intent(record, f"ws-{number}", 10.0 + number)
        if number % 8 > 1:
            await journal.record_task(record, f"task-{record.key}", f"ws-{number}", 11.0 + number)
        if number % 8 > 3:
            status = "failed" if number % 8 == 4 else "completed"
            await journal.record_outcome(record, status, final_result=f"result {number} é", now=12.5 + number)


def copy_files(source: Path, target: Path) -> None:
    """Copy all files of a journal as they are at this moment."""
    target.mkdir()
    for file in source.glob(f"{NAME}*"):
        shutil.copyfile(file, target / file.name)


async def make_journals(folder: Path) -> None:
    """Make one journal, and keep its files of several moments: early, after a checkpoint, late, closed."""
    live = folder / "live"
    live.mkdir()
    journal = RunJournal(store_at(live / NAME), "https://api.example/v1")
    await journal.begin_run()
    await journal.store.update_run(1, note='{"a": 1}')
    await write_items(journal, 0, 15)
    await asyncio.to_thread(copy_files, live, folder / "early")
    await journal.record_agent_computer_intent(0, "batch-0", 9.0)
    await journal.record_agent_computer(0, "ws-0")
    await write_items(journal, 15, 30)
    await asyncio.to_thread(checkpoint, live / NAME)
    await asyncio.to_thread(copy_files, live, folder / "checkpointed")
    await journal.store.reopen_items(["failed"], None)
    await write_items(journal, 30, 40)
    await asyncio.to_thread(copy_files, live, folder / "late")
    await journal.store.aclose()
    await asyncio.to_thread(copy_files, live, folder / "closed")
    await asyncio.to_thread(shutil.rmtree, live)


def checkpoint(path: Path) -> None:
    """Have SQLite move all commits from its log into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def read_all(path: Path) -> Any:
    """Return all that a reader says."""
    with read_journal(path) as reader:
        return list(reader.items()), list(reader.outcomes()), reader.counts(), reader.batch_id, reader.last_run()


def run_once(path: Path) -> Any:
    """Return all that the next run learns from the journal."""
    return asyncio.run(resume(path))


async def resume(path: Path) -> Any:
    journal = RunJournal(store_at(path), "https://api.example/v1")
    try:
        await journal.begin_run()
        store = journal.store
        return (
            await store.run_notes(before=10),
            await store.records_in_state("creating"),
            await store.records_in_state("running"),
            await store.agent_computers(),
            await store.owned_task_ids([f"task-k{number}" for number in range(40)]),
            await journal.accept([to_new_item(item) for item in ITEMS]),
        )
    finally:
        await journal.store.aclose()


def flip(data: bytearray, random: Random) -> None:
    """Change one bit."""
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def cut(data: bytearray, random: Random) -> None:
    """Remove the end."""
    del data[random.randrange(len(data)) :]


def cut_to_a_page(data: bytearray, random: Random) -> None:
    """Remove the end from the beginning of a page or a frame of the log."""
    size = random.choice((4096, 4096 + 24))
    del data[random.randrange(1 + len(data) // size) * size :]


def empty(data: bytearray, _: Random) -> None:
    """Remove everything."""
    data.clear()


def blank(data: bytearray, random: Random) -> None:
    """Replace a piece by zeros."""
    start = random.randrange(len(data))
    data[start : start + random.choice((1, 16, 512, 4096))] = bytes(len(data[start : start + 16]))


def swap(data: bytearray, random: Random) -> None:
    """Exchange two pages."""
    one, other = (4096 * random.randrange(1 + len(data) // 4096) for _ in range(2))
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]


def extend(data: bytearray, random: Random) -> None:
    """Add bytes at the end."""
    data += random.randbytes(random.choice((1, 4096)))


CHANGES: list[Callable[[bytearray, Random], None]] = [flip, flip, cut, cut_to_a_page, empty, blank, swap, extend]


def damage(folder: Path, journals: Path, moment: str, random: Random) -> str:
    """Damage one file of a journal, and return what was done."""
    files = [file for file in sorted(folder.iterdir()) if file.stat().st_size]
    file = random.choice(files)
    how = random.random()
    if how < 0.1 and (file.name != NAME or moment != "closed"):  # who removes a closed journal wants a new one
        file.unlink()
        return f"{moment}: {file.name} removed"
    if how < 0.3:
        other = random.choice(MOMENTS[: MOMENTS.index(moment) + 1])
        if other != moment and (journals / other / file.name).exists():
            shutil.copyfile(journals / other / file.name, file)
            return f"{moment}: {file.name} of {other}"
    change = random.choice(CHANGES)
    data = bytearray(file.read_bytes())
    change(data, random)
    file.write_bytes(data)
    return f"{moment}: {file.name} {change.__name__}"


def attempt(action: Callable[[], Any]) -> Any:
    """Return what an action returns, or None where it is refused."""
    try:
        return action()
    except JournalError:
        return None


def contents(path: Path) -> list[bytes]:
    """Return what the journal's file and SQLite's log hold. SQLite may add an empty log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return [data for file in files if file.exists() and (data := file.read_bytes())]


def test_damage_changes_no_answer(tmp_path: Path) -> None:
    """What is damaged, cut, exchanged or lost gives the same answers, or a `JournalError` that changes no file."""
    asyncio.run(make_journals(tmp_path))
    read, resumed = {}, {}
    for moment in MOMENTS:
        copy_files(tmp_path / moment, tmp_path / "trial")
        read[moment] = read_all(tmp_path / "trial" / NAME)
        resumed[moment] = run_once(tmp_path / "trial" / NAME)
        shutil.rmtree(tmp_path / "trial")
    results = Counter[str]()
    random = Random(SEED)
    for _ in range(DAMAGES):
        moment = random.choice(MOMENTS)
        copy_files(tmp_path / moment, tmp_path / "trial")
        what = damage(tmp_path / "trial", tmp_path, moment, random)
        path = tmp_path / "trial" / NAME
        before = contents(path)
        found = attempt(partial(read_all, path))
        assert found in (None, read[moment]), what
        found = attempt(partial(run_once, path))
        assert found in (None, resumed[moment]), what
        assert found is not None or contents(path) == before, what
        results["refused" if found is None else "the same"] += 1
        shutil.rmtree(tmp_path / "trial")
    print(f"{DAMAGES} damages: {dict(results)}")  # noqa: T201 - figures for who sets the number


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE items SET final_result = 'another' WHERE key = 'b'", "a row of items has changed"),
        ("UPDATE former_tasks SET task_id = 'another'", "a row of former_tasks has changed"),
        ("DELETE FROM items WHERE key = 'b'", "rows are missing, or older"),
        ("UPDATE state SET is_open = 1", "the row of state has changed"),
        ("DELETE FROM state", "the row of state has changed"),
        ("UPDATE items SET final_result = CAST(x'ff' AS TEXT)", "a text isn't UTF-8"),
        ("DROP INDEX items_open", "its tables have changed"),
        ("DROP TRIGGER items_update", "its tables have changed"),
    ],
)
def test_a_change_that_no_run_made_is_named(tmp_path: Path, statement: str, message: str) -> None:
    """What SQLite takes for sound is refused by name where it isn't what a run has written."""
    path = write_journal(tmp_path / NAME, [row("a"), row("b")])
    with closing(sqlite3.connect(path)) as connection, connection:
        add_row_sum(connection)
        connection.execute(save("former_tasks"), {"task_id": "task-c", "position": 1})
        connection.execute(COUNT_COMMIT, {"is_open": False, "commits": 3})
        connection.execute(statement)
    with pytest.raises(JournalError, match=f"is damaged: {message}"):
        read_journal(path)
    with pytest.raises(JournalError, match=f"is damaged: {message}"):
        run_once(path)


@given(
    st.floats() | st.integers(-(2**53), 2**53),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)
def test_a_check_sum_is_that_of_the_values_as_they_are_stored(number: float, text: str | None, data: bytes) -> None:
    """A time without a fraction is given as a whole number or not, and SQLite returns it as one of the two."""
    with closing(sqlite3.connect(":memory:")) as connection:
        add_row_sum(connection)
        connection.execute("CREATE TABLE rows (at REAL, number INTEGER, text TEXT, data BLOB, sum INTEGER)")
        row = {"number": number, "text": text, "data": data}
        values = ":number, :number, :text, :data"
        connection.execute(f"INSERT INTO rows VALUES ({values}, row_sum({values}))", row)
        ((*stored, found),) = connection.execute("SELECT * FROM rows")
    assert row_sum(*stored) == found
    assert row_sum(*stored, None) != found
