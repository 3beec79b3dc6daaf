"""What all calls of a client share when the service is busy: one pause, and one purse for retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from rebyte_async._settings import RetryPolicy

__all__ = ["Gate"]

_GIVEN_BACK = 0.2
_SPREAD = 0.1
"""How far apart waiters start again, as a part of the pause: a thousand that wake at once would be refused again."""


@define
class Gate:
    """Holds every attempt back after a 429, and counts the retries that all calls spend together."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    rng: Random
    _until: float = field(default=0.0, init=False)
    _spent: float = field(default=0.0, init=False)

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long; a longer pause that is under way stays."""
        self._until = max(self._until, self.clock() + seconds)

    @property
    def is_open(self) -> bool:
        """Whether no pause is on."""
        return self._until <= 0 or self._until <= self.clock()

    async def passed(self) -> None:
        """Wait until no pause is on."""
        while (left := self._until - self.clock()) > 0:
            await self.sleep(left + self.rng.uniform(0, min(1.0, left * _SPREAD)))

    def take(self, policy: RetryPolicy) -> bool:
        """Pay for a retry; False when the budget is spent."""
        if self._spent + 1 > policy.budget:
            return False
        self._spent += 1
        return True

    def give_back(self) -> None:
        """Note a success."""
        self._spent = max(0.0, self._spent - _GIVEN_BACK)
