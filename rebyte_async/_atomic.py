"""Replace files atomically by a part file that is synced, then renamed. Everything here blocks: call it in a thread."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any

_NAME_BYTES = 100
"""How much of the target's name the part file's name has: 255 bytes are the most that usual file systems allow."""


def sync_file(file: IO[Any]) -> None:
    """Have everything that was written to an open file reach the disk."""
    file.flush()
    os.fsync(file.fileno())


def replace_file(part: Path, target: Path) -> None:
    """Rename a finished and synced file to its final name, and have the rename reach the disk."""
    part.replace(target)
    with suppress(OSError):  # not every system lets a folder be opened and synced
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_device(path: Path) -> bool:
    """Return whether a path is a terminal, a pipe or the like, which no file can replace."""
    return path.exists() and not path.is_file()


def open_private(name: str, flags: int) -> int:
    """Open a file that its owner alone may read, if that creates it: an opener for `open`."""
    return os.open(name, flags, 0o600)


def write_file(target: Path, pieces: Iterable[bytes]) -> None:
    """Write a file atomically. A link is followed; a pipe or a device is written to directly.

    A new file can be read by its owner alone.
    """
    target = target.resolve()
    if is_device(target):
        with target.open("wb") as file:
            file.writelines(pieces)
        return
    part = PartFile(target, open_private)
    try:
        part.open()
        part.write(pieces)
        part.commit()
    finally:
        part.discard()


class PartFile:
    """A file that takes the name of its target when it is finished, and leaves nothing otherwise.

    A link is followed to the file that it names. A file that is replaced keeps its mode. What is no file is refused.

    Its methods may run in any thread, one at a time. The lock is for a step whose caller was cancelled: that step may
    still run, or be yet to run, while the file is discarded.

    Args:
        target: The final name. The part file is in the same folder, with a random name.
        opener: What creates the part file; None for a file of the usual mode.
    """

    def __init__(self, target: Path, opener: Callable[[str, int], int] | None = None) -> None:
        self._target = target
        self._opener = opener
        self._path = target
        self._opened: FileIO | None = None
        self._is_discarded = False
        self._lock = threading.Lock()

    @property
    def _file(self) -> FileIO:
        if self._opened is None:
            raise ValueError("the part file isn't open")
        return self._opened

    def open(self) -> None:
        """Create the part file, unless it was discarded before. An error names the target."""
        with self._lock:
            if self._is_discarded:
                return
            try:
                self._create()
            except OSError as error:
                raise type(error)(error.errno, error.strerror, str(self._target)) from error

    def _create(self) -> None:
        self._target = Path(os.path.realpath(self._target))
        old = self._target.stat() if self._target.exists() else None
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if old is not None and not stat.S_ISREG(old.st_mode):
            raise OSError(errno.EINVAL, "It is a device or a pipe, which no file may replace")
        name = self._target.name.encode(errors="ignore")[:_NAME_BYTES].decode(errors="ignore")
        self._path = self._target.with_name(f".{name}.{secrets.token_hex(8)}.part")
        self._opened = FileIO(self._path, "x", opener=self._opener)
        if old is not None:  # before a byte of it can be read by others
            self._path.chmod(stat.S_IMODE(old.st_mode))

    def rewind(self) -> None:
        with self._lock:
            self._file.seek(0)
            self._file.truncate()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write all of the pieces, one after the other."""
        with self._lock:
            for piece in pieces:
                view = memoryview(piece)
                while view:  # an unbuffered file may take less than it is given
                    view = view[self._file.write(view) or 0 :]

    def commit(self) -> None:
        """Sync the part file and give it its final name."""
        with self._lock:
            sync_file(self._file)
            self._file.close()
            replace_file(self._path, self._target)

    def discard(self) -> None:
        """Close and remove the part file, after a failure of any other method. After `commit` it does nothing."""
        with self._lock:
            self._is_discarded = True
            if self._opened is not None:
                self._opened.close()
                self._path.unlink(missing_ok=True)
