"""Waits between the steps of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from rebyte_async._transport import Transport

__all__ = ["Rest"]


@define
class Rest:
    """A wait that is waited out before the next step where it was cancelled: impatience spends no tries."""

    _transport: Transport
    _until: float = 0.0

    async def wait(self, seconds: float) -> None:
        """Wait now."""
        self.later(seconds)
        await self._transport.gate.sleep(seconds)
        self._until = 0.0

    def later(self, seconds: float) -> None:
        """Wait before the next step."""
        self._until = self._transport.gate.clock() + seconds

    async def rest(self) -> None:
        """Wait for what is left."""
        if self._until and (left := self._until - self._transport.gate.clock()) > 0:
            await self.wait(left)
