"""Files for prompts, artifacts, and the workspaces that contain both."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.state.primitives import Collection


@frozen(kw_only=True)
class StoredFile:
    """A file that was uploaded."""

    id: str
    """The file's id."""
    filename: str
    """The name that the service gave it."""
    content_type: str
    """The type that it was announced and uploaded with."""
    size: int
    """Its size in bytes."""
    path: Path
    """Where its bytes are kept."""


@define(eq=False, kw_only=True)
class File:
    """A file that was announced; `stored` is None until it is uploaded."""

    id: str
    filename: str
    content_type: str
    stored: StoredFile | None = None


@frozen(kw_only=True)
class StoredArtifact:
    """An artifact of a workspace."""

    workspace_id: str
    """The workspace's id."""
    name: str
    """The artifact's name, which may be anything."""
    content_type: str
    """The type that it was uploaded with."""
    size: int
    """Its size in bytes."""
    etag: str
    """Its ETag, made from its bytes."""
    created_at: datetime
    """When the first artifact of this name was stored."""
    updated_at: datetime
    """When this one was stored."""
    path: Path | None = None
    """Where its bytes are kept; None for one from `Emulator.put_artifact`, which is kept in memory."""
    data: bytes = field(default=b"", repr=False)
    """Its bytes if it is kept in memory."""

    def read(self) -> bytes:
        """Return its bytes; this blocks while they are read from the disk."""
        return self.data if self.path is None else self.path.read_bytes()


@define(eq=False)
class Workspace:
    """One workspace: the files on its agent computer, and its artifacts."""

    id: str
    files: dict[str, StoredFile] = field(factory=dict[str, StoredFile], init=False)
    artifacts: Collection[StoredArtifact] = field(factory=lambda: Collection[StoredArtifact]("Artifact"), init=False)

    def put(self, artifact: StoredArtifact) -> StoredArtifact | None:
        """Add an artifact, and return the one that it replaces."""
        old = self.artifacts.get(artifact.name)
        self.artifacts[artifact.name] = artifact if old is None else evolve(artifact, created_at=old.created_at)
        return old
