"""The file of a journal: locked, made whole, and checked before it is written to."""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import sys
import time
import uuid
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from attrs import define

from rebyte_async.batch.journal.schema import APPLICATION_ID, TABLES, VERSION
from rebyte_async.errors import JournalBusyError, JournalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lock", "open_file", "open_temporary"]

_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_PATIENCE = 10.0
"""Seconds to wait for a reader who holds the file for a moment."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open a journal to write it, and make it if there is none. The caller holds its lock.

    Raises:
        JournalError: It is no journal, damaged, of a newer version, or can't be opened. It is left as it is.
    """
    try:
        if path.exists() and path.stat().st_size > 0:
            _check(path)
        else:
            _check_rests(path)
            _make_file(path)
        connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise _explained(path, error) from error
    return connection


def open_temporary() -> sqlite3.Connection:
    """A journal that nobody sees, and that goes with its connection; SQLite puts it on disk when it is large."""
    connection = sqlite3.connect("", isolation_level=None)
    _make(connection)
    return connection


def _explained(path: Path, error: Exception) -> JournalError:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return JournalError(f"the journal {path} is damaged: {error}. It was left as it is")
    return JournalError(f"can't open the journal {path}: {error}")


def _check_rests(path: Path) -> None:
    """See that no journal was here before: SQLite would take what is left of its log for the new one's."""
    for ending in ("-wal", "-journal"):
        rest = path.with_name(path.name + ending)
        if rest.exists() and rest.stat().st_size > 0:
            raise JournalError(
                f"the journal {path} is gone, and {rest} is left of it: that may be the only record of tasks that were "
                "paid for. Put the journal back beside it, or move it away to begin a new one"
            )


def _check_owner(path: Path, application: int, version: int) -> None:
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is no journal of a batch: it was left as it is")
    if version > VERSION:
        raise JournalError(
            f"the journal {path} has the format {version}, and this version of rebyte-async knows {VERSION}: use a "
            "newer one. It was left as it is"
        )


def _check(path: Path) -> None:
    """Look at the header, and then for damage, through a connection that changes nothing."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if not head.startswith(_MAGIC) or len(head) < _HEADER:
        raise JournalError(f"{path} is no journal of a batch: it was left as it is")
    (version, application) = struct.unpack(">I4xI", head[60:72])
    _check_owner(path, application, version)
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_PATIENCE)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalError(f"the journal {path} is damaged: {found}. It was left as it is")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make_file(path: Path) -> None:
    """Make a journal beside its place and put it there when it is whole, so that there never is a part of one."""
    making = path.with_name(f"{path.name}.making")
    for rest in ("", "-journal", "-wal", "-shm"):
        making.with_name(making.name + rest).unlink(missing_ok=True)
    with closing(_connect(making)) as connection:
        _make(connection)
    making.replace(path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _make(connection: sqlite3.Connection) -> None:
    """Make the tables, all or none."""
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

    _BEHIND = 1 << 30
    """Windows keeps others from reading what is locked, so that is a byte behind the holder's number."""

    def _take(file: int) -> None:
        os.lseek(file, _BEHIND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})
"""What the systems say of a lock that another one holds."""


@define
class Lock:
    """A lock that is held. The file stays when it is let go: to remove it would let two processes hold one each."""

    _file: int

    @classmethod
    def taken(cls, journal: Path) -> Lock:
        """Take the lock of a journal.

        Raises:
            JournalBusyError: Another process holds it, or this one already does.
            JournalError: There can be no lock file there.
        """
        path = journal.with_name(f"{journal.name}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise JournalError(f"can't write {path}: {error.strerror or error}") from error
        try:
            _take(file)
        except OSError as error:
            holder = _holder(file)
            os.close(file)
            if error.errno not in _HELD:
                raise JournalError(f"can't lock {path}: {error.strerror or error}") from error
            raise JournalBusyError(
                f"the journal {journal} is in use by {holder}: wait until that run has ended, or give another journal"
            ) from error
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, f"{os.getpid()}\n".encode())
        return cls(file)

    def release(self) -> None:
        """Let go."""
        os.close(self._file)


def _holder(file: int) -> str:
    with suppress(OSError, ValueError):
        os.lseek(file, 0, os.SEEK_SET)
        number = int(os.read(file, 32))
        return "this process" if number == os.getpid() else f"the process {number}"
    return "another process"
