"""The file of a journal: created whole, and checked for damage and for lost commits before it is written to."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from rebyte_async._atomic import replace_file
from rebyte_async.batch.journal.integrity import (
    JournalState,
    add_row_sum,
    check_journal,
    create_tables,
    translate_errors,
)
from rebyte_async.batch.journal.lock import LOCK_ENDING, JournalLock, Note, lock_path
from rebyte_async.batch.journal.schema import COUNT_COMMIT, SELECT_META, save
from rebyte_async.errors import JournalError

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another connection that has the file locked for a moment."""
_LOG_ENDINGS = ("-wal", "-journal")
"""SQLite's log of what isn't in the file yet, in one of its two modes."""
_PLACE = "place"
"""Where the journal was when it was last opened, in `meta`: a copy elsewhere is recognized by it."""


def journal_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return every file that a journal at a path uses, now or at times: the file itself first."""
    place = Path(path)
    return tuple(place.with_name(place.name + ending) for ending in ("", *_LOG_ENDINGS, "-shm", LOCK_ENDING))


class JournalFile:
    """An open journal: its connection, and its lock if it is a file on disk.

    It counts its commits, in the journal and, after each commit, in the note of the lock. A journal with fewer commits
    than its note says has lost some. It is marked as open from its first commit until it is closed; the mark is
    in the file itself, not in SQLite's log, so that a copy of the file alone shows that it isn't all.
    """

    def __init__(self, connection: sqlite3.Connection, lock: JournalLock | None = None, commits: int = 0) -> None:
        self.connection = connection
        self.name = "(temporary)"
        """What errors call the journal."""
        self._lock = lock
        self._commits = commits
        self._changes = connection.total_changes
        self._batch_id: str = dict(connection.execute(SELECT_META)).get("batch_id", "")

    def mark_as_open(self, path: Path) -> None:
        """Mark the journal as open, at a path."""
        if self._lock is not None:
            self._lock.record(self._batch_id, self._commits)
            self._lock.sync()
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(save("meta"), {"name": _PLACE, "value": quote(os.fsencode(path))})
        self.commit()
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def run(self, jobs: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """Run jobs in one transaction, and return their values. If one raises, nothing is written."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            values = [job(self.connection) for job in jobs]
            self.commit()
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back itself where the disk is full
                self.connection.execute("ROLLBACK")
            raise
        return values

    def explain(self, error: BaseException) -> JournalError | None:
        """Return the error of this and all later writes, if the file can't be written any more."""
        if not isinstance(error, sqlite3.Error):
            return None
        return JournalError(
            f"can't write the journal {self.name}: {error}. What was written before is safe: remove the cause and run "
            "the batch again, and it continues where it stopped"
        )

    def commit(self) -> None:
        """Commit what was written, and count the commit if that was something."""
        if self._lock is None or self.connection.total_changes == self._changes:
            self.connection.execute("COMMIT")
        else:
            self._commit_and_count(self._lock, is_open=True)

    def _commit_and_count(self, lock: JournalLock, *, is_open: bool) -> None:
        count = self._commits + 1
        if self.connection.execute(COUNT_COMMIT, {"is_open": is_open, "commits": count}).rowcount != 1:
            raise JournalError("another process has written to the journal: only one run at a time can use it")
        self.connection.execute("COMMIT")
        self._commits = count
        self._changes = self.connection.total_changes
        lock.record(self._batch_id, count)

    def close(self) -> None:
        """Mark the journal as closed, and release it, also where nothing can be written any more."""
        lock, self._lock = self._lock, None
        try:
            if lock is not None:
                with suppress(sqlite3.Error, JournalError):
                    self.connection.execute("BEGIN IMMEDIATE")
                    self._commit_and_count(lock, is_open=False)
                    self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with suppress(sqlite3.Error):
                self.connection.close()
        finally:
            if lock is not None:
                lock.close()

    def __del__(self) -> None:
        """Release a journal that was dropped. It stays marked as open, as after a kill."""
        lock, self._lock = self._lock, None
        if lock is None or not lock.is_held:  # closed, or a copy in the child of a fork
            return
        with suppress(sqlite3.Error):
            self.connection.close()
        lock.close()
        warnings.warn(
            f"the journal {lock.journal} was dropped while it was open: close it, or use it with `async with`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )


def open_journal(path: Path) -> JournalFile:
    """Lock a journal and open it for writing; create it if there is none.

    Raises:
        JournalBusyError: It is in use.
        JournalError: It is not a journal, damaged, not all there, a copy of one that is there too, of another version,
            or can't be opened. The file is not changed.
    """
    lock = JournalLock(path)
    try:
        with translate_errors(path):
            if not path.exists() or path.stat().st_size == 0:
                _check_no_rest(path, lock)
                _create_file(path)
            state = _check(path)
            check_none_lost(path, lock.note, state)
            _check_note(path, lock, state)
            _check_place(path, state)
            connection = _connect(path)
            try:
                opened = JournalFile(connection, lock, state.commits)
                opened.mark_as_open(path)
            except BaseException:
                connection.close()
                raise
            return opened
    except BaseException:
        lock.close()
        raise


def open_temporary() -> JournalFile:
    """Open a journal that goes with its connection. SQLite moves it to disk when it is large."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    create_tables(connection, _new_facts())
    return JournalFile(connection)


def _check_no_rest(path: Path, lock: JournalLock) -> None:
    """Refuse to create a journal where the log of an earlier one is left: SQLite would apply it to the new file."""
    for log in (path.with_name(path.name + ending) for ending in _LOG_ENDINGS):
        if log.exists() and log.stat().st_size > 0:
            raise JournalError(
                f"the journal {path} is gone, and {log} is left of it: that may be the only record of tasks that were "
                "paid for. Put the journal back beside it, or move it away to start a new one"
            )
    if path.exists() and lock.note.commits:
        raise JournalError(
            f"the journal {path} is empty, and {lock.path} says that it was not: put the journal back, or move both "
            "away to start a new one"
        )


def _check(path: Path) -> JournalState:
    """Check all that the file has, through a connection that changes nothing."""
    with closing(sqlite3.connect(_address(path, "mode=ro"), uri=True, timeout=BUSY_TIMEOUT)) as connection:
        connection.isolation_level = None
        return check_journal(path, connection)


def check_none_lost(path: Path, note: Note, state: JournalState) -> None:
    """Refuse a journal that lacks commits: they may record tasks, which a run would make again.

    Raises:
        JournalError: The journal has fewer commits than the note of its lock says.
    """
    missing = note.commits - state.commits if note.batch_id == state.batch_id else 0
    if missing > 0:
        raise JournalError(
            f"the journal {path} lacks its last {missing} commits: {path.name}-wal is damaged or gone, or this is an "
            "older copy. The tasks that they record would be made again. Put back the file and those beside it whose "
            f"names begin with {path.name}-, all as they were last. {_WAY_OUT}"
        )


def _check_note(path: Path, lock: JournalLock, state: JournalState) -> None:
    """Refuse a journal that wasn't closed where nothing says whether it is complete."""
    if state.is_open and lock.note.batch_id != state.batch_id:
        raise JournalError(
            f"the journal {path} wasn't closed, and {lock.path}, which says whether it is complete, is damaged or "
            "gone: a run may have it now, was killed, or it was copied meanwhile. Put back the files beside it whose "
            f"names begin with {path.name}-, as they were last. {_WAY_OUT}"
        )


_WAY_OUT = (
    "If they are lost, `rebyte-async batch export` shows what a copy of the file alone, in another folder, still has: "
    "look for the tasks that were made since, and run the other items with a new journal"
)


def _check_place(path: Path, state: JournalState) -> None:
    """Refuse a copy whose original is there: a run of each would make the same tasks."""
    place = state.facts.get(_PLACE)
    original = path if place is None else Path(os.fsdecode(unquote_to_bytes(place)))
    if original == path or _is_same_file(lock_path(original), lock_path(path)):
        return
    if _read_batch_id(original) == state.batch_id:
        raise JournalError(
            f"the journal {path} is a copy of {original}, and runs of both would make the same tasks: use {original}, "
            "or, if no run uses that any more, move it away first"
        )


def _is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, as they do where a folder is mounted twice."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def _read_batch_id(path: Path) -> str | None:
    """Read a journal's id, which is in its file from the start; None if there is no sound journal."""
    with suppress(OSError, ValueError, sqlite3.Error):
        if path.is_file():
            with closing(sqlite3.connect(_address(path, "immutable=1"), uri=True)) as connection:
                return dict(connection.execute(SELECT_META)).get("batch_id")
    return None


def _address(path: Path, options: str) -> str:
    return f"file:{quote(os.fsencode(path))}?{options}"


def _connect(path: Path) -> sqlite3.Connection:
    # The lock lets one user in, whose thread is the only one to use it; what was dropped is closed in any thread.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk before its write returns
        add_row_sum(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create_file(path: Path) -> None:
    """Create a journal beside its place and move it there when it is whole, so that half of one is never opened."""
    file, name = tempfile.mkstemp(prefix=".rebyte-journal-", suffix=".part", dir=path.parent)  # only its owner reads it
    os.close(file)
    new = Path(name)
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")  # no second file is left where this is killed
            create_tables(connection, _new_facts())
        replace_file(new, path)
    finally:
        new.unlink(missing_ok=True)


def _new_facts() -> dict[str, str]:
    return {"batch_id": uuid.uuid4().hex, "created_at": repr(time.time())}
