"""Places for open tasks."""

from __future__ import annotations

import asyncio

from attrs import define, field

__all__ = ["Slots"]


@define(eq=False)
class Slots:
    """A semaphore of which more may be taken than there is, by tasks that are open already."""

    _free: int
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def take(self) -> None:
        """Take a place; waits until there is one. One caller at a time."""
        while self._free <= 0:
            self._changed.clear()
            await self._changed.wait()
        self._free -= 1

    def overtake(self) -> None:
        """Take a place, whether or not there is one."""
        self._free -= 1

    def give(self) -> None:
        """Give a place back."""
        self._free += 1
        self._changed.set()
