"""Artifacts: files that came out of a workspace, or were put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

__all__ = ["StoredArtifact"]


@frozen(kw_only=True)
class StoredArtifact:
    """An artifact of a workspace."""

    workspace_id: str
    """The workspace's id."""
    name: str
    """Its name, which may be anything."""
    content_type: str
    """The type that it was sent with."""
    size: int
    """Its size in bytes."""
    etag: str
    """Its ETag, which goes with its bytes."""
    created_at: datetime
    """When the first artifact of this name came."""
    updated_at: datetime
    """When this one came."""
    path: Path | None = None
    """Where its bytes are; None for one from `Emulator.put_artifact`, which is kept in memory."""
    data: bytes = field(default=b"", repr=False)
    """Its bytes if it is kept in memory."""

    def read(self) -> bytes:
        """Its bytes; this blocks while they are read from the disk."""
        return self.data if self.path is None else self.path.read_bytes()

    def after(self, old: StoredArtifact) -> StoredArtifact:
        """The same, as one that replaces another."""
        return evolve(self, created_at=old.created_at)
