"""One run has a journal, and all of it: what its lock keeps out, and which copies are refused."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sized
from contextlib import closing
from pathlib import Path

import pytest

from rebyte_async.batch import Journal, read_journal
from rebyte_async.batch.items import to_new_item
from rebyte_async.batch.journal.lock import JournalLock, Note, read_note
from rebyte_async.errors import JournalBusyError, JournalError
from support.batches import items
from support.journals import open_run_journal, row, write_journal
from support.systems import FORKS, LINKS, make_pipe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal that doesn't exist yet."""
    return tmp_path / "run.sqlite3"


def beside(path: Path, ending: str) -> Path:
    """A file of the journal."""
    return path.with_name(path.name + ending)


async def use(path: Path) -> None:
    """Open a journal and close it."""
    async with Journal(path):
        pass


_FORK = """
import asyncio, os, sys
from rebyte_async.batch import Journal
async def main():
    async with Journal(sys.argv[1]):
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            sys.stdin.read()
            os._exit(0)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@FORKS
def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    """When a run is killed, its journal is free, though a child that it forked lives on."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _FORK, str(path)], stdin=pipe, stdout=pipe) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        with pytest.raises(JournalBusyError, match=f"the process {run.pid}"):
            asyncio.run(use(path))
        run.kill()
        run.wait()
        os.kill(child, 0)  # it is alive
        asyncio.run(use(path))


async def test_removing_the_lock_admits_no_second_run(path: Path) -> None:
    """While a journal is open, its lock can be removed without letting another run in; the run isn't disturbed."""
    async with open_run_journal(path) as journal:
        await asyncio.to_thread(beside(path, "-lock").unlink)
        for _ in range(2):
            with pytest.raises(JournalError, match=r"wasn't closed, and .*-lock.* is damaged or gone"):
                await use(path)
        await journal.accept([to_new_item(item) for item in items(2)])
    await use(path)


def make_link(lock: Path) -> None:
    """A link to a file of another program."""
    lock.with_name("precious").write_text("precious")
    lock.symlink_to("precious")


def make_file(lock: Path) -> None:
    """A file of another program."""
    lock.write_text("# another tool's")


@pytest.mark.parametrize("make", [pytest.param(make_link, marks=LINKS), make_file, Path.mkdir, make_pipe])
def test_a_lock_that_is_another_file_is_refused(path: Path, make: object) -> None:
    """What another program has in the lock's place is named, and neither followed nor changed."""
    assert callable(make)
    make(beside(path, "-lock"))
    before = {file.name: (file.lstat().st_mode, file.is_file() and file.read_bytes()) for file in path.parent.iterdir()}
    with pytest.raises(JournalError, match=r"run.sqlite3-lock"):
        asyncio.run(use(path))
    assert before == {
        file.name: (file.lstat().st_mode, file.is_file() and file.read_bytes()) for file in path.parent.iterdir()
    }


async def test_a_dropped_journal_is_released(path: Path) -> None:
    """A journal that is dropped without being closed warns, and can be opened again at once."""
    await Journal(path).open()
    with pytest.warns(ResourceWarning, match="run.sqlite3 was dropped while it was open") as caught:
        await asyncio.wait_for(_collect_until(caught.list), 30)
    await use(path)


async def _collect_until(warned: Sized) -> None:
    while not warned:  # the loop and one of its threads have the journal until the commit is over
        await asyncio.to_thread(gc.collect)


async def test_a_second_writer_stops_the_first(path: Path) -> None:
    """A process that got past the lock, as on some network disks, ends the run whose journal it wrote to."""
    async with open_run_journal(path) as journal:
        await asyncio.to_thread(count_a_commit, path)
        with pytest.raises(JournalError, match="another process has written to the journal"):
            await journal.accept([to_new_item(item) for item in items(2)])


def count_a_commit(path: Path) -> None:
    """Count a commit, as another run does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE state SET commits = commits + 1")


def copy_to(target: Path, *files: Path) -> None:
    """Copy files into a folder."""
    target.mkdir()
    for file in files:
        shutil.copyfile(file, target / file.name)


async def kill_copy(path: Path, target: Path) -> None:
    """Make a journal, and copy its files while it is open, as a kill would leave them; then move the original away."""
    async with open_run_journal(path) as journal:
        await journal.accept([to_new_item(item) for item in items(2)])
        await asyncio.to_thread(copy_to, target, *path.parent.glob(f"{path.name}*"))
    path.rename(path.with_name("moved"))


@pytest.mark.parametrize(
    ("lost", "written", "read"),
    [
        ([], None, None),
        (["-wal"], "lacks its last . commits", "lacks its last . commits"),
        (["-lock"], "wasn't closed", None),
        (["-wal", "-lock"], "wasn't closed", None),
    ],
)
def test_a_killed_journal_without_its_files_is_refused(
    path: Path, tmp_path: Path, lost: list[str], written: str | None, read: str | None
) -> None:
    """A killed run continues with all of its files; without one of them a run is refused, and nothing is changed."""
    asyncio.run(kill_copy(path, tmp_path / "killed"))
    copy = tmp_path / "killed" / path.name
    for ending in lost:
        beside(copy, ending).unlink()
    before = copy.read_bytes()
    if read is None:
        with read_journal(copy) as reader:
            assert reader.counts().total == (0 if "-wal" in lost else 2)
    else:
        with pytest.raises(JournalError, match=read):
            read_journal(copy)
    if written is None:
        asyncio.run(use(copy))
        return
    with pytest.raises(JournalError, match=written):
        asyncio.run(use(copy))
    assert copy.read_bytes() == before


def test_an_older_copy_is_refused(path: Path, tmp_path: Path) -> None:
    """A copy in the place of a journal that was written since is refused, and so is an empty file."""
    asyncio.run(use(path))
    copy_to(tmp_path / "copy", path)
    asyncio.run(use(path))
    shutil.copyfile(tmp_path / "copy" / path.name, path)
    with pytest.raises(JournalError, match=r"lacks its last 2 commits.* or this is an older copy"):
        asyncio.run(use(path))
    path.write_bytes(b"")
    with pytest.raises(JournalError, match=r"is empty, and .*-lock says that it was not"):
        asyncio.run(use(path))
    beside(path, "-lock").unlink()
    asyncio.run(use(path))


def test_a_copy_beside_its_original_is_refused(path: Path, tmp_path: Path) -> None:
    """A copy can be run when its original is gone; a journal that was moved, and a second name of it, can be run."""
    asyncio.run(use(path))
    copy_to(tmp_path / "copy", path)
    copy = tmp_path / "copy" / path.name
    with pytest.raises(JournalError, match=f"{copy} is a copy of {path}"):
        asyncio.run(use(copy))
    path.rename(tmp_path / "moved")
    asyncio.run(use(tmp_path / "moved"))
    asyncio.run(use(copy))
    write_journal(path, [row("another")])
    asyncio.run(use(copy))
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for ending in ("", "-lock"):
        os.link(beside(copy, ending), mounted / f"{path.name}{ending}")
    asyncio.run(use(mounted / path.name))


def test_an_original_that_is_damaged_is_not_in_the_way(path: Path, tmp_path: Path) -> None:
    """A good copy can be run in the place of its damaged original."""
    asyncio.run(use(path))
    copy_to(tmp_path / "copy", path)
    path.write_bytes(b"damaged" * 1000)
    asyncio.run(use(tmp_path / "copy" / path.name))


def test_a_note_is_read_as_it_was_written(path: Path) -> None:
    """The note of a lock says what was recorded last; a damaged one and a missing one say nothing."""
    assert read_note(path) == Note()
    lock = JournalLock(path)
    lock.record("b" * 32, 12_345)
    lock.record("c" * 32, 7)
    lock.close()
    assert read_note(path) == Note(os.getpid(), "c" * 32, 7)
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    data = bytearray(lock.path.read_bytes())
    data[-60] ^= 1
    lock.path.write_bytes(data)
    assert read_note(path) == Note()


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """A path that the system refuses is a `JournalError`, to write and to read."""
    with pytest.raises(JournalError, match="File name too long"):
        asyncio.run(use(tmp_path / ("n" * 300)))
    with pytest.raises(JournalError, match="File name too long"):
        read_journal(tmp_path / ("n" * 300))
