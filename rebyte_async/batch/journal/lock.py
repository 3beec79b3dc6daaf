"""The lock beside a journal: it lets one user in at a time, and notes how far the journal's commits have come."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from attrs import evolve, frozen

from rebyte_async.errors import JournalBusyError, JournalError

LOCK_ENDING = "-lock"
_MAGIC = b"rebyte-async: the lock of a batch journal\n"
_SIZE = 256
"""Bytes that are more than a note."""
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link is not followed, and a pipe is not waited for."""
_TRIES = 10
_held = WeakSet["JournalLock"]()


@frozen
class Note:
    """What a lock file says. It has one size, so that writing it anew leaves nothing of the old one."""

    pid: int = 0
    """The last process that held the lock."""
    batch_id: str = ""
    """The batch whose journal was last written; empty before the first commit."""
    commits: int = 0
    """How many commits its journal had, or one less where the process was killed in between."""

    def to_bytes(self) -> bytes:
        text = b"pid %20d\nbatch %32s\ncommits %20d\n" % (self.pid, self.batch_id.encode(), self.commits)
        return b"%sbegin\n%ssum %08x\n" % (_MAGIC, text, zlib.crc32(text))

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """Read a note. A damaged one says nothing."""
        found = _NOTE.search(data)
        if found is None or int(found["sum"], 16) != zlib.crc32(found["text"]):
            return cls()
        return cls(int(found["pid"]), found["batch"].decode(), int(found["commits"]))


_NOTE = re.compile(
    rb"begin\n(?P<text>pid +(?P<pid>\d+)\nbatch +(?P<batch>[^ \n]*)\ncommits +(?P<commits>\d+)\n)"
    rb"sum (?P<sum>[0-9a-f]{8})\n"
)


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30
    """Windows keeps others from reading what is locked, so that is a byte far after the note."""

    def _lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})
"""The error numbers with which systems refuse a lock that is held."""


class JournalLock:
    """The lock of a journal, held from the start until it is closed, dropped, or the process ends.

    The lock file stays: its note is what shows that a journal has lost commits. A child of a fork doesn't hold the
    lock, which it would keep after the end of the run.

    Args:
        journal: The journal's file, which needn't exist.

    Raises:
        JournalBusyError: Another process holds the lock, or this process does already.
        JournalError: There can be no lock file, or the file with its name is something else.
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.path = lock_path(journal)
        try:
            self._file: int | None = _open_locked(self.path, journal)
        except OSError as error:
            if error.errno == errno.ELOOP or self.path.is_symlink():
                raise JournalError(f"can't write {self.path}: it is a link, and a lock has to be a file") from error
            raise JournalError(f"can't write {self.path}: {error.strerror or error}") from error
        _held.add(self)
        self.note = evolve(_read(self._file), pid=os.getpid())
        """What the lock file says."""
        self._write()

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def record(self, batch_id: str, commits: int) -> None:
        """Note a commit, after it was made."""
        self.note = Note(self.note.pid, batch_id, commits)
        self._write()

    def _write(self) -> None:
        # What was written survives a kill. Where the machine fails, an older note may be left, which accepts more.
        if self._file is not None:
            with suppress(OSError):  # without a note the journal is safe, only its loss isn't noticed
                os.lseek(self._file, 0, os.SEEK_SET)
                os.write(self._file, self.note.to_bytes())

    def sync(self) -> None:
        """Have the lock file reach the disk, before the journal relies on it."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Release the lock."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def lock_path(journal: Path) -> Path:
    return journal.with_name(journal.name + LOCK_ENDING)


def read_note(journal: Path) -> Note:
    """Read the note beside a journal; an empty one if there is none."""
    with suppress(OSError):
        file = os.open(lock_path(journal), os.O_RDONLY | _FLAGS)
        try:
            return _read(file)
        finally:
            os.close(file)
    return Note()


def _open_locked(path: Path, journal: Path) -> int:
    """Open the lock file and lock it. It may be removed in between, and the lock of a removed file keeps no one out."""
    for _ in range(_TRIES):
        file = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            _check_own(file, path)
            _lock_or_explain(file, path, journal)
            if _is_at(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
    raise JournalError(f"can't lock {path}: it is removed again and again")


def _check_own(file: int, path: Path) -> None:
    """Refuse a file that another program may need."""
    if not stat.S_ISREG(os.fstat(file).st_mode) or not _MAGIC.startswith(os.read(file, len(_MAGIC))):
        raise JournalError(
            f"{path} is not the lock of a journal, and was not changed: move it away, or give the journal another name"
        )


def _lock_or_explain(file: int, path: Path, journal: Path) -> None:
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            raise JournalError(f"can't lock {path}: {error.strerror or error}") from error
        pid = _read(file).pid
        holder = "this process" if pid == os.getpid() else f"the process {pid}" if pid else "another process"
        raise JournalBusyError(
            f"the journal {journal} is in use by {holder}: wait until that run has ended, or give another journal"
        ) from error


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def _read(file: int) -> Note:
    os.lseek(file, 0, os.SEEK_SET)
    return Note.from_bytes(os.read(file, _SIZE))


def _release_in_child() -> None:
    for lock in tuple(_held):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
