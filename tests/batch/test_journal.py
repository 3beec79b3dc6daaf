"""A journal on disk: writes stay, one user at a time, and no other file is changed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem, Journal
from rebyte_async.batch.items import to_new_item
from rebyte_async.batch.journal import DuplicateTaskError
from rebyte_async.batch.journal.schema import APPLICATION_ID, VERSION
from rebyte_async.emulator import Emulator
from support import small_disk
from support.batches import creates, items, keys_into, outcomes_of, rows, runner_of
from support.clients import client_of
from support.journals import open_run_journal
from support.systems import FILE_LIMITS, LINKS, make_pipe


async def test_a_journal_names_its_owner_and_version(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """The file's header names its owner and version, and its tables hold every item."""
    path = tmp_path / "run.sqlite3"
    await outcomes_of(runner_of(client, journal=path), items(3))
    assert path.read_bytes()[:16] == b"SQLite format 3\0"
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    found = rows(path, "key, state, status, attempts, workspace_id IS NOT NULL, task_id IS NOT NULL")
    assert found == [(f"k{number}", "ended", "completed", 1, 1, 1) for number in range(3)]
    assert dict(rows(path, "name, value", "meta"))["base_url"] == emulator.url
    assert [
        (run, pid, ended > began) for run, pid, began, ended in rows(path, "run, pid, started_at, ended_at", "runs")
    ] == [(1, os.getpid(), True)]


@LINKS
async def test_two_cannot_have_one_journal(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """The error of the second names the holder, also through a link; the first isn't disturbed."""
    path = tmp_path / "run.sqlite3"
    async with Journal(path):
        with pytest.raises(errors.JournalBusyError, match="in use by this process"):
            await outcomes_of(runner_of(client, journal=path), items(1))
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(errors.JournalBusyError):
            await Journal(tmp_path / "link").open()
    assert len(await outcomes_of(runner_of(client, journal=path), items(1))) == 1
    assert creates(emulator) == 1


_HOLD = """
import asyncio, sys
from rebyte_async.batch import Journal
async def main():
    async with Journal(sys.argv[1]):
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def test_another_process_holds_a_journal_until_it_dies(client: AsyncRebyte, tmp_path: Path) -> None:
    """The error names its process id; once it is killed, the journal is free at once."""
    path = tmp_path / "run.sqlite3"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(errors.JournalBusyError, match=f"in use by the process {other.pid}"):
            await outcomes_of(runner_of(client, journal=path), items(1))
        other.kill()
        other.wait()
    assert len(await outcomes_of(runner_of(client, journal=path), items(1))) == 1


def _as_sqlite(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "is not a batch journal, or its beginning is damaged. The file was not changed"),
        ("short", "is not a batch journal"),
        ("foreign", "is not a batch journal"),
        ("newer", f"has the format 99, and this version of rebyte-async knows {VERSION}: use a newer one"),
        ("older", f"has the format 1, and this version of rebyte-async knows {VERSION}: use an older one"),
        ("damaged", "is damaged"),
        ("truncated", "is damaged"),
    ],
)
async def test_an_unsound_journal_is_left_unchanged(
    client: AsyncRebyte, emulator: Emulator, tmp_path: Path, kind: str, message: str
) -> None:
    """The run ends with a clear error, sends nothing, and changes no byte of the file."""
    path = tmp_path / "run.sqlite3"
    if kind == "text":
        path.write_text("my precious notes\n" * 100, encoding="utf-8")
    elif kind == "short":
        path.write_bytes(b"SQLite format 3\0")
    elif kind == "foreign":
        _as_sqlite(path, "CREATE TABLE recipes (name TEXT)")
    else:
        await outcomes_of(runner_of(client, journal=path), items(40, prompt="Do {} " + "x" * 500))
        data = bytearray(path.read_bytes())
        if kind in {"newer", "older"}:
            data[60:64] = (99 if kind == "newer" else 1).to_bytes(4, "big")
        elif kind == "damaged":
            for start in range(4096, len(data) - 100, 4096):
                data[start : start + 100] = b"\xa5" * 100
        else:
            del data[len(data) // 2 :]
        path.write_bytes(data)
    before = path.read_bytes()
    made = creates(emulator)
    with pytest.raises(errors.JournalError) as caught:
        await outcomes_of(runner_of(client, journal=path), items(1))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert creates(emulator) == made


async def test_an_empty_file_becomes_a_journal(client: AsyncRebyte, tmp_path: Path) -> None:
    """A run leaves the journal and its lock, which their owner alone may read, and no other file."""
    path = tmp_path / "empty"
    path.touch()
    assert len(await outcomes_of(runner_of(client, journal=path), items(1))) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "empty-lock"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


_RUN = """
import asyncio
from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.errors import JournalError
async def main():
    async with AsyncRebyte("rbk_test_0123456789", base_url=sys.argv[1]) as client:
        async for outcome in BatchRunner(client).run([BatchItem("k0", "Do 0")]):
            print(outcome.status)
        drop_privileges()
        try:
            async for outcome in BatchRunner(client, journal=sys.argv[2]).run([BatchItem("k1", "Do 1")]):
                print(outcome.status)
        except JournalError as error:
            print(error)
asyncio.run(main())
"""


@pytest.mark.usefixtures("client")
async def test_a_read_only_folder_is_named(emulator: Emulator, sealed: Path, unprivileged: Callable[..., str]) -> None:
    """Without a lock file there is no run. A run without a journal needs no lock."""
    sealed.chmod(0o555)
    path = sealed / "run.sqlite3"
    said = await asyncio.to_thread(unprivileged, _RUN, emulator.url, str(path))
    assert said.splitlines() == ["completed", f"can't write {path}-lock: Permission denied"]
    assert creates(emulator) == 1
    assert list(sealed.iterdir()) == []


@pytest.mark.parametrize(("where", "message"), [("none/run.sqlite3", "there is no folder"), (".", "it is a folder")])
async def test_a_place_without_a_file_is_named(client: AsyncRebyte, tmp_path: Path, where: str, message: str) -> None:
    """The error says what is wrong with the path."""
    with pytest.raises(errors.JournalError, match=message):
        await outcomes_of(runner_of(client, journal=tmp_path / where), items(1))


async def test_a_journal_of_another_service_is_refused(client: AsyncRebyte, tmp_path: Path) -> None:
    """A journal names its service: elsewhere its tasks don't exist, and resuming the batch would make them again."""
    path = tmp_path / "run.sqlite3"
    await outcomes_of(runner_of(client, journal=path), items(1))
    async with Emulator() as other, client_of(other.url) as elsewhere:
        with pytest.raises(errors.BatchError, match=r"is of a batch on http.*, and this client talks to http"):
            await outcomes_of(runner_of(elsewhere, journal=path), items(1))
        assert len(other.log) == 0


async def test_a_changed_item_is_refused(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """The error names the key, and the values of the journal that differ."""
    path = tmp_path / "run.sqlite3"
    await outcomes_of(runner_of(client, journal=path), [BatchItem("k0", "Do 0", model="m")])
    for changed, message in (
        (BatchItem("k0", "Do something else", model="m"), r"another prompt \(\"Do 0\"\)"),
        (BatchItem("k0", "Do 0", model="n"), r"another model \(\"m\"\)"),
        (BatchItem("k0", "Do 0", model="m", skills=["pdf"]), r"another skills \(null\)"),
        (BatchItem("k0", "Do it", executor="codex", model="m"), r"another prompt \(\"Do 0\"\) and executor \(null\)"),
    ):
        seen: list[str] = []
        with pytest.raises(errors.BatchError, match=f"the key 'k0' is in the journal with {message}"):
            await keys_into(seen, runner_of(client, journal=path).run([BatchItem("new", "New"), changed]))
        assert seen == ["new"]
    assert creates(emulator) == 2


@FILE_LIMITS
async def test_a_full_disk_loses_nothing(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The run ends with a clear error; the outcomes it gave are in the journal, and the next run continues."""
    path = tmp_path / "run.sqlite3"
    report = tmp_path / "report"
    process = multiprocessing.get_context("spawn").Process(
        target=small_disk.run, args=(emulator.url, str(path), str(report))
    )
    process.start()
    while process.is_alive():
        await asyncio.sleep(0.05)
    assert process.exitcode == 0
    *keys, last = report.read_text(encoding="utf-8").splitlines()
    assert f"can't write the journal {path}" in last
    assert "What was written before is safe" in last
    stored = {key for key, status in rows(path, "key, status") if status == "completed"}
    assert set(keys) <= stored
    assert len(stored) < 300
    found = await outcomes_of(runner_of(client, journal=path, concurrency=16), small_disk.large_items(300))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 300


async def test_reopened_items_get_a_new_task(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """A reopened item gets a new task; its old one is never matched to another item."""
    path = tmp_path / "run.sqlite3"
    from rebyte_async.emulator import fail

    emulator.script(fail("no"), prompt="Do [12]$", times=2)
    found = await outcomes_of(runner_of(client, journal=path), items(4))
    old = {key: outcome.task_id for key, outcome in found.items() if outcome.status == "failed"}
    assert old.keys() == {"k1", "k2"}
    async with Journal(path) as opened:
        assert await opened.reopen(["failed"], keys=["k1", "k0"]) == 1
        assert await opened.reopen(["canceled", "error"]) == 0
    async with open_run_journal(path) as journal:
        assert await journal.store.owned_task_ids([old["k1"] or "", "unknown"]) == {old["k1"]}
    again = await outcomes_of(runner_of(client, journal=path), items(4))
    assert {key: outcome.status for key, outcome in again.items()} == {
        "k0": "completed",
        "k1": "completed",
        "k2": "failed",
        "k3": "completed",
    }
    assert again["k1"].task_id not in old.values()
    assert creates(emulator) == 5


async def test_a_journal_that_is_not_open_refuses_to_reopen(tmp_path: Path) -> None:
    """A journal reopens no items before it is opened, or after it was closed."""
    journal = Journal(tmp_path / "run.sqlite3")
    with pytest.raises(errors.JournalError, match="isn't open"):
        await journal.reopen(["failed"])
    async with journal:
        pass
    with pytest.raises(errors.JournalError, match="is closed"):
        await journal.reopen(["failed"])


async def test_a_task_belongs_to_one_item(tmp_path: Path) -> None:
    """The journal refuses a task for a second item, and keeps the other writes of the same commit."""
    async with open_run_journal(tmp_path / "run.sqlite3") as journal:
        accepted: Any = await journal.accept([to_new_item(item) for item in items(2)])
        first, second = accepted
        await journal.record_task(first, "task", None, 1.0)
        with pytest.raises(DuplicateTaskError):
            await journal.record_task(second, "task", None, 1.0)
        await journal.record_outcome(first, "completed", final_result="x", now=2.0)
    assert rows(tmp_path / "run.sqlite3", "key, state, task_id") == [("k0", "ended", "task"), ("k1", "accepted", None)]


@pytest.mark.parametrize("empty", [False, True])
async def test_the_log_of_a_lost_journal_is_not_applied_to_a_new_one(
    client: AsyncRebyte, emulator: Emulator, tmp_path: Path, empty: bool
) -> None:
    """SQLite would write it into the new file; it may be the only record of tasks that were paid for."""
    path = tmp_path / "run.sqlite3"
    rest = tmp_path / "run.sqlite3-wal"
    rest.write_bytes(b"what a kill has left")
    if empty:
        path.touch()
    with pytest.raises(errors.JournalError, match=r"run.sqlite3-wal is left of it.* move it away"):
        await outcomes_of(runner_of(client, journal=path), items(1))
    assert rest.read_bytes() == b"what a kill has left"
    assert creates(emulator) == 0
    rest.unlink()
    assert len(await outcomes_of(runner_of(client, journal=path), items(1))) == 1


async def test_a_pipe_is_left_alone(client: AsyncRebyte, tmp_path: Path) -> None:
    """A pipe has the size 0, like a new journal, and is refused."""
    make_pipe(tmp_path / "pipe")
    with pytest.raises(errors.JournalError, match="it is not a regular file"):
        await outcomes_of(runner_of(client, journal=tmp_path / "pipe"), items(1))
    assert [(file.name, file.is_fifo()) for file in tmp_path.iterdir()] == [("pipe", True)]


@pytest.mark.parametrize(("path", "message"), [("", "not an empty string"), ("a\0b", "without NUL characters")])
async def test_an_impossible_path_is_refused(client: AsyncRebyte, path: str, message: str) -> None:
    """The runner's constructor raises, before anything costs money."""
    with pytest.raises(errors.ConfigurationError, match=message):
        runner_of(client, journal=path)


@pytest.mark.parametrize(
    ("statuses", "keys", "message"),
    [
        ("failed", None, r"statuses must be several strings, such as \['failed'\]"),
        (["failled"], None, "statuses has 'failled'; items end as completed, failed"),
        (["failed"], "k0", "keys must be several strings"),
    ],
)
async def test_reopen_checks_its_arguments(tmp_path: Path, statuses: Any, keys: Any, message: str) -> None:
    """Unknown statuses are refused, and single strings, which would be taken for sequences of letters."""
    async with Journal(tmp_path / "run.sqlite3") as journal:
        with pytest.raises(errors.ConfigurationError, match=message):
            await journal.reopen(statuses, keys=keys)
