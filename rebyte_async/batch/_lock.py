"""The lock beside a journal: who holds it writes, and the kernel frees it when that process dies."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define

from rebyte_async.errors import JournalBusyError, JournalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lock"]

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
