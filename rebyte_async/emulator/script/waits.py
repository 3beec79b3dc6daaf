"""Steps in which an agent does nothing: for a while, or until a test lets it go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.script.player import ScriptPlayer

__all__ = ["Hold", "Pause", "hold", "pause"]


@frozen
class Pause:
    """The agent is silent for some seconds."""

    seconds: float

    async def play(self, player: ScriptPlayer) -> None:
        """Wait."""
        del player
        await asyncio.sleep(self.seconds)


@frozen
class Hold:
    """The agent waits until the gate of this name is released."""

    name: str

    async def play(self, player: ScriptPlayer) -> None:
        """Wait."""
        await player.state.gates[self.name].wait()


def pause(seconds: float) -> Pause:
    """Be silent for some seconds."""
    return Pause(seconds)


def hold(name: str = "gate") -> Hold:
    """Wait until `Emulator.release` is called with the same name; once released, a gate stays open."""
    return Hold(name)
