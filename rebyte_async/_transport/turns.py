"""Turns: so many at once, the others in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import define, field

__all__ = ["Turns"]


@define(eq=False)
class Turns:
    """What a semaphore is, at a cost that doesn't grow with those that wait.

    asyncio's own looks through all of its waiters for the next one, which at 128 calls costs as much as a tenth of a
    call. Here a turn is handed to the next one directly.
    """

    _free: int
    _waiting: deque[asyncio.Future[None]] = field(factory=deque[asyncio.Future[None]], init=False)

    def take_free(self) -> bool:
        """Take a turn, if one is free."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def take(self) -> None:
        """Wait for a turn. Whoever has one gives it back."""
        if self.take_free():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was handed over, and the wait for it cancelled, at the same time
                self.give()
            raise

    def give(self) -> None:
        """Give a turn back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
