"""The file of a journal: locked, created whole, and checked before it is written to."""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import sys
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from rebyte_async._atomic import replace_file
from rebyte_async.batch.journal.schema import APPLICATION_ID, TABLES, VERSION
from rebyte_async.errors import JournalBusyError, JournalError

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another connection that has the file locked for a moment."""
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_LOG_ENDINGS = ("-wal", "-journal")
"""SQLite's log of what isn't in the file yet, in one of its two modes."""
_NEW_ENDING = ".making"
"""The file in which a new journal is made."""
_LOCK_ENDING = ".lock"


def journal_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return every file that a journal at a path uses, now or at times: the file itself first."""
    place = Path(path)
    return tuple(_beside(place, ending) for ending in ("", *_LOG_ENDINGS, "-shm", _LOCK_ENDING, _NEW_ENDING))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def open_file(path: Path) -> sqlite3.Connection:
    """Open a journal for writing, and create it if there is none. The caller holds its lock.

    Raises:
        JournalError: It is not a journal, damaged, of a newer version, or can't be opened. The file is not changed.
    """
    try:
        if path.exists() and path.stat().st_size > 0:
            _check(path)
        else:
            _check_no_log(path)
            _create_file(path)
        return _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise _explain(path, error) from error


def open_temporary() -> sqlite3.Connection:
    """Open a journal that goes with its connection. SQLite moves it to disk when it is large."""
    connection = sqlite3.connect("", isolation_level=None)
    _create_tables(connection)
    return connection


def _explain(path: Path, error: Exception) -> JournalError:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return JournalError(f"the journal {path} is damaged: {error}. The file was not changed")
    return JournalError(f"can't open the journal {path}: {error}")


def _check_no_log(path: Path) -> None:
    """Refuse to create a journal where the log of an earlier one is left: SQLite would apply it to the new file."""
    for ending in _LOG_ENDINGS:
        log = _beside(path, ending)
        if log.exists() and log.stat().st_size > 0:
            raise JournalError(
                f"the journal {path} is gone, and {log} is left of it: that may be the only record of tasks that were "
                "paid for. Put the journal back beside it, or move it away to start a new one"
            )


def _check(path: Path) -> None:
    """Check the header, and then for damage, through a connection that changes nothing."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    is_sqlite = head.startswith(_MAGIC) and len(head) == _HEADER
    version, application = struct.unpack(">I4xI", head[60:72]) if is_sqlite else (0, 0)
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is not a batch journal. The file was not changed: give another path")
    if version > VERSION:
        raise JournalError(
            f"the journal {path} has the format {version}, and this version of rebyte-async knows {VERSION}: use a "
            "newer one. The file was not changed"
        )
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalError(f"the journal {path} is damaged: {found}. The file was not changed")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk before its write returns
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create_file(path: Path) -> None:
    """Create a journal beside its place and move it there when it is whole, so that half of one is never opened."""
    new = _beside(path, _NEW_ENDING)
    for part in journal_files(new):  # of an earlier attempt that was killed
        part.unlink(missing_ok=True)
    with closing(_connect(new)) as connection:
        _create_tables(connection)
    replace_file(new, path)


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES:
        connection.execute(table)
    facts = {"batch_id": uuid.uuid4().hex, "created_at": repr(time.time())}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
    connection.execute("COMMIT")


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30
    """Windows keeps others from reading what is locked, so that is a byte far after the holder's process id."""

    def _lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})
"""The error numbers with which systems refuse a lock that is held."""


def lock_journal(journal: Path) -> int:
    """Lock the file beside a journal, and return its descriptor. Closing that releases the lock, as does a kill.

    The lock file stays: removing it would let two processes hold one lock each.

    Raises:
        JournalBusyError: Another process holds the lock, or this process does already.
        JournalError: There can be no lock file.
    """
    path = _beside(journal, _LOCK_ENDING)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise JournalError(f"can't write {path}: {error.strerror or error}") from error
    try:
        _lock(file)
    except OSError as error:
        holder = _holder(file)
        os.close(file)
        if error.errno not in _HELD:
            raise JournalError(f"can't lock {path}: {error.strerror or error}") from error
        raise JournalBusyError(
            f"the journal {journal} is in use by {holder}: wait until that run has ended, or give another journal"
        ) from error
    with suppress(OSError):  # the process id is for errors only
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f"{os.getpid()}\n".encode())
    return file


def _holder(file: int) -> str:
    with suppress(OSError, ValueError):
        os.lseek(file, 0, os.SEEK_SET)
        number = int(os.read(file, 32))
        return "this process" if number == os.getpid() else f"the process {number}"
    return "another process"
