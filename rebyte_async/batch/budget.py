"""The cap on spending: how many tasks a run may make."""

from __future__ import annotations

import asyncio

from attrs import define, field

__all__ = ["Budget"]


@define(eq=False)
class Budget:
    """Counts the creates of a run. One that surely made nothing gives its count back."""

    most: int | None
    """How many tasks may be made; None for any number."""
    made: int = field(default=0, init=False)
    """How many were made, those whose fate can't be told counted."""
    _open: int = field(default=0, init=False)
    """How many may yet be made: their creates are to be sent, under way, or in doubt."""
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def reserve(self) -> bool:
        """Ask for one; while all that is left is under way, wait whether some of it is given back."""
        while self.most is not None and self.made + self._open >= self.most:
            if self._open == 0:
                return False
            self._changed.clear()
            await self._changed.wait()
        self._open += 1
        return True

    def spend(self) -> None:
        """A task was made of what was reserved, or may have been."""
        self._open -= 1
        self.made += 1
        self._changed.set()

    def give_back(self) -> None:
        """Nothing was made of what was reserved."""
        self._open -= 1
        self._changed.set()
