"""Storing artifacts: first their bytes, then, once all of them have come, their names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterable, Callable, Iterator
from datetime import datetime
from itertools import count
from typing import Any

from attrs import field, frozen

from rebyte_async.emulator.disk import DiskPart
from rebyte_async.emulator.responses import validation_error
from rebyte_async.emulator.state.files import StoredArtifact, Workspace

DEFAULT_TYPE = "application/octet-stream"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_TAIL = 80


@frozen
class ArtifactStore:
    """Stores artifacts on the disk, or in memory."""

    disk: DiskPart
    clock: Callable[[], datetime]
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    async def write(
        self, workspace: Workspace, name: str, content_type: str, chunks: AsyncIterable[bytes]
    ) -> StoredArtifact:
        """Write an artifact to the disk; no request sees it until it is published."""
        # Its number makes a filename unique; the part of the name that any disk takes shows people which file it is.
        filename = f"{next(self._numbers)}-{_UNSAFE.sub('_', name)[-_MAX_TAIL:]}"
        written = await self.disk.write(filename, chunks)
        return self._make(workspace, name, content_type, written.size, written.digest, path=written.path)

    async def publish(self, workspace: Workspace, artifact: StoredArtifact) -> None:
        """Make an artifact visible, in place of an older one with its name."""
        await self.discard(workspace.put(artifact))

    async def discard(self, artifact: StoredArtifact | None) -> None:
        """Remove the bytes of an artifact that isn't visible (any more)."""
        if artifact is not None and artifact.path is not None:
            await self.disk.remove(artifact.path)

    def publish_in_memory(self, workspace: Workspace, name: str, content_type: str, data: bytes) -> StoredArtifact:
        """Publish an artifact that is kept in memory, which needs no awaiting."""
        digest = hashlib.sha256(data).hexdigest()
        workspace.put(self._make(workspace, name, content_type, len(data), digest, data=data))
        return workspace.artifacts[name]

    def _make(
        self, workspace: Workspace, name: str, content_type: str, size: int, digest: str, **where: Any
    ) -> StoredArtifact:
        now = self.clock()
        return StoredArtifact(
            workspace_id=workspace.id,
            name=name,
            content_type=content_type,
            size=size,
            etag=f'"{digest[:32]}"',
            created_at=now,
            updated_at=now,
            **where,
        )


def check_name(name: str) -> str:
    """Return a name that can be sent in a path and be read from it again, or raise an `ApiError`."""
    if name in ("", ".", ".."):
        raise validation_error(f"{name!r} is no filename.")
    return name
