"""The step in which an agent leaves an artifact behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE, place, write

if TYPE_CHECKING:
    from rebyte_async.emulator.script.player import ScriptPlayer
    from rebyte_async.emulator.script.turn import Turn

__all__ = ["Content", "WriteArtifact", "artifact"]

Content: TypeAlias = str | bytes | Iterable[bytes]


@frozen
class WriteArtifact:
    """A file appears among the artifacts of the task's workspace; no event tells of it."""

    name: str
    content: Content | Callable[[Turn], Content] = field(repr=False)
    content_type: str = DEFAULT_TYPE

    async def play(self, player: ScriptPlayer) -> None:
        """Write it."""
        chunks, workspace = _chunks(await self._made(player)), player.task.workspace
        draft = await write(player.state, workspace, self.name, self.content_type, chunks)
        await place(player.state, workspace, draft)

    async def _made(self, player: ScriptPlayer) -> Content:
        if not callable(self.content):
            return self.content
        await player.machine.load()
        return self.content(player.turn)


async def _chunks(content: Content) -> AsyncIterator[bytes]:
    if isinstance(content, str):
        content = content.encode()
    for chunk in (content,) if isinstance(content, bytes) else content:
        yield chunk


def artifact(
    name: str, content: Content | Callable[[Turn], Content], *, content_type: str = DEFAULT_TYPE
) -> WriteArtifact:
    """Leave an artifact in the task's workspace, in place of an older one of its name.

    Args:
        name: Its name.
        content: What is in it: text, bytes, or pieces of bytes for one that is too large for the memory; or a function
            that takes the `Turn` and returns one of them.
        content_type: Its type.
    """
    return WriteArtifact(name, content, content_type)
