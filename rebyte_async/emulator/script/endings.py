"""Steps that end a turn; events of steps after them arrive late, when the turn is already over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.script.player import ScriptPlayer

__all__ = ["End", "cancel", "fail", "succeed"]


@frozen
class End:
    """The turn ends."""

    status: str
    final_result: str | None = None

    async def play(self, player: ScriptPlayer) -> None:
        """End it."""
        player.end(self.status, self.final_result)


def succeed(final_result: str | None = None) -> End:
    """End well; without a result of its own with what was said last."""
    return End("succeeded", final_result)


def fail(message: str = "") -> End:
    """End as failed, with a message as the final result."""
    return End("failed", message)


def cancel() -> End:
    """End as canceled, though nobody called for it."""
    return End("canceled", "")
