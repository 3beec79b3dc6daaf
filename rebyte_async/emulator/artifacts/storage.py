"""Taking artifacts in: first their bytes, then, when all of them have come, their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rebyte_async.emulator.artifacts.names import tail
from rebyte_async.emulator.state.artifacts import StoredArtifact

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.workspaces import Workspace

DEFAULT_TYPE = "application/octet-stream"


async def write(
    state: State, workspace: Workspace, name: str, content_type: str, chunks: AsyncIterable[bytes]
) -> StoredArtifact:
    """Write an artifact to the disk; nobody sees it until it is placed."""
    written = await state.disk.write(state.disk.fresh(tail(name)), chunks)
    now = state.clock()
    return StoredArtifact(
        workspace_id=workspace.id,
        name=name,
        content_type=content_type,
        size=written.size,
        etag=_etag(written.digest),
        created_at=now,
        updated_at=now,
        path=written.path,
    )


async def place(state: State, workspace: Workspace, artifact: StoredArtifact) -> None:
    """Let an artifact be seen, in place of an older one of its name."""
    await discard(state, workspace.place(artifact))


async def discard(state: State, artifact: StoredArtifact | None) -> None:
    """Remove the bytes of an artifact that nobody sees any more."""
    if artifact is not None and artifact.path is not None:
        await state.disk.remove(artifact.path)


def in_memory(state: State, workspace: Workspace, name: str, content_type: str, data: bytes) -> StoredArtifact:
    """An artifact that isn't written to the disk, so that it can be made anywhere without waiting."""
    now = state.clock()
    return StoredArtifact(
        workspace_id=workspace.id,
        name=name,
        content_type=content_type,
        size=len(data),
        etag=_etag(hashlib.sha256(data).hexdigest()),
        created_at=now,
        updated_at=now,
        data=data,
    )


def _etag(digest: str) -> str:
    return f'"{digest[:32]}"'
