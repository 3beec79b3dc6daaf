"""Where the bytes of uploads and artifacts are kept."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterator


@define(eq=False)
class Disk:
    """A folder that somebody has given, or a temporary one, which is made when something is written to it."""

    _given: Path | None
    _temporary: Path | None = field(default=None, init=False)
    _making: Lock = field(factory=Lock, init=False)
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    def part(self) -> DiskPart:
        """A part that nothing has been written to."""
        return DiskPart(self, str(next(self._numbers)))

    def root(self) -> Path:
        """The folder itself; this blocks."""
        if self._given is not None:
            return self._given
        with self._making:
            self._temporary = self._temporary or Path(tempfile.mkdtemp(prefix="rebyte-emulator-"))
        return self._temporary

    async def clean(self) -> None:
        """Remove a temporary folder."""
        if self._temporary is not None:
            await to_thread.run_sync(shutil.rmtree, self._temporary)
            self._temporary = None


@frozen(kw_only=True)
class Written:
    """Bytes that are on the disk."""

    path: Path
    size: int
    digest: str
    """Their SHA-256, in hex."""


@frozen
class DiskPart:
    """The part of a disk that belongs to one state of the service."""

    disk: Disk
    name: str
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    def fresh(self, tail: str) -> str:
        """A filename that no other file has; a client has no say in it but for its tail."""
        return f"{next(self._numbers)}-{tail}"

    async def write(self, filename: str, chunks: AsyncIterable[bytes]) -> Written:
        """Write a file piece by piece: the whole, or nothing of it is left."""
        path = await self.path(filename)
        try:
            return await _write(path, chunks)
        except BaseException:
            await self.remove(path)
            raise

    async def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        with anyio.CancelScope(shield=True):
            await anyio.Path(path).unlink(missing_ok=True)

    async def path(self, filename: str) -> Path:
        """Where a file is to be, in a folder that exists."""
        return await to_thread.run_sync(self._path, filename)

    def _path(self, filename: str) -> Path:
        folder = self.disk.root() / self.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / filename


async def _write(path: Path, chunks: AsyncIterable[bytes]) -> Written:
    # The file is open only within a thread: a request can be stopped at any time, and then nothing is left to close.
    size, digest = 0, hashlib.sha256()
    await anyio.Path(path).write_bytes(b"")
    async for chunk in chunks:
        await to_thread.run_sync(_write_at, path, size, chunk)
        size += len(chunk)
        digest.update(chunk)
    return Written(path=path, size=size, digest=digest.hexdigest())


def _write_at(path: Path, start: int, chunk: bytes) -> None:
    with path.open("r+b") as target:
        target.seek(start)
        target.write(chunk)
