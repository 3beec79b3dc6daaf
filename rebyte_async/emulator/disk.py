"""Where the bytes of uploads are kept."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from anyio import to_thread
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@frozen
class DiskPart:
    """The part of a disk that belongs to one state of the service."""

    disk: Disk
    name: str

    async def path(self, filename: str) -> Path:
        """Where a file is to be, in a folder that exists."""
        return await to_thread.run_sync(self._path, filename)

    def _path(self, filename: str) -> Path:
        folder = self.disk.root() / self.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / filename
