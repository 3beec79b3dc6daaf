"""The disk that keeps the bytes of uploads and artifacts."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterable, Iterator
from itertools import count
from pathlib import Path
from threading import Lock

import anyio
from anyio import to_thread
from attrs import define, field, frozen


@define(eq=False)
class Disk:
    """A given folder, or a temporary one that is made when something is first written to it."""

    _given: Path | None
    _temporary: Path | None = field(default=None, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    def new_part(self) -> DiskPart:
        return DiskPart(self, str(next(self._numbers)))

    def root(self) -> Path:
        """Return the folder; this blocks."""
        if self._given is not None:
            return self._given
        with self._lock:
            self._temporary = self._temporary or Path(tempfile.mkdtemp(prefix="rebyte-emulator-"))
        return self._temporary

    async def clean(self) -> None:
        if self._temporary is not None:
            await to_thread.run_sync(shutil.rmtree, self._temporary)
            self._temporary = None


@frozen(kw_only=True)
class WrittenFile:
    """A file on the disk."""

    path: Path
    size: int
    digest: str
    """The SHA-256 of its bytes, in hex."""


@frozen
class DiskPart:
    """The part of a disk that belongs to one state of the service."""

    _disk: Disk
    _name: str

    async def write(self, filename: str, chunks: AsyncIterable[bytes]) -> WrittenFile:
        """Write a file piece by piece: either the whole file or nothing of it is kept."""
        path, size, digest = await self.path(filename), 0, hashlib.sha256()
        # The file is open only in a thread: a request can be stopped at any time, and then nothing is left to close.
        try:
            await anyio.Path(path).write_bytes(b"")
            async for chunk in chunks:
                await to_thread.run_sync(_write_at, path, size, chunk)
                size += len(chunk)
                digest.update(chunk)
        except BaseException:
            await self.remove(path)
            raise
        return WrittenFile(path=path, size=size, digest=digest.hexdigest())

    async def remove(self, path: Path) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.Path(path).unlink(missing_ok=True)

    async def path(self, filename: str) -> Path:
        """Return the path for a file, and make its folder."""
        folder = await to_thread.run_sync(self._disk.root) / self._name
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        return folder / filename


def _write_at(path: Path, start: int, chunk: bytes) -> None:
    with path.open("r+b") as target:
        target.seek(start)
        target.write(chunk)
