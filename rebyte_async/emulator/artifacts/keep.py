"""Taking artifacts in: first their bytes, then, when all of them have come, their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rebyte_async.emulator.artifacts.names import tail
from rebyte_async.emulator.state.artifacts import StoredArtifact

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from rebyte_async.emulator.state.workspaces import Workspace
    from rebyte_async.emulator.world import World

DEFAULT_TYPE = "application/octet-stream"


async def write(
    world: World, workspace: Workspace, name: str, content_type: str, chunks: AsyncIterable[bytes]
) -> StoredArtifact:
    """Write an artifact to the disk; nobody sees it until it is placed."""
    written = await world.disk.write(world.disk.fresh(tail(name)), chunks)
    now = world.clock()
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


async def place(world: World, workspace: Workspace, artifact: StoredArtifact) -> None:
    """Let an artifact be seen, in place of an older one of its name."""
    await discard(world, workspace.place(artifact))


async def discard(world: World, artifact: StoredArtifact | None) -> None:
    """Remove the bytes of an artifact that nobody sees any more."""
    if artifact is not None and artifact.path is not None:
        await world.disk.remove(artifact.path)


def in_memory(world: World, workspace: Workspace, name: str, content_type: str, data: bytes) -> StoredArtifact:
    """An artifact that isn't written to the disk, so that it can be made anywhere without waiting."""
    now = world.clock()
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
