"""Where outcomes wait for whoever reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from rebyte_async.batch.outcomes import BatchOutcome

__all__ = ["Outlet"]


@define(eq=False)
class Outlet:
    """A queue between the engine and its reader, who slows the intake down by not reading.

    It knows neither of them, so that a reader who goes away can be noticed.
    """

    window: int
    """How many items may be taken and not yet read."""
    ordered: bool
    """Whether outcomes are given out in the order in which their items were taken."""
    _taken: int = field(default=0, init=False)
    _read: int = field(default=0, init=False)
    _ready: deque[BatchOutcome] = field(factory=deque["BatchOutcome"], init=False)
    _early: dict[int, BatchOutcome] = field(factory=dict[int, "BatchOutcome"], init=False)
    """Outcomes that came before that of an earlier item, by the items' numbers."""
    _next: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _failure: BaseException | None = field(default=None, init=False)
    _filled: asyncio.Event = field(factory=asyncio.Event, init=False)
    _emptied: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def room(self) -> int:
        """How many more items may be taken; waits until it is one."""
        while self._taken - self._read >= self.window:
            self._emptied.clear()
            await self._emptied.wait()
        return self.window - (self._taken - self._read)

    def take(self) -> int:
        """Note that an item was taken. Its number goes with its outcome."""
        self._taken += 1
        return self._taken - 1

    def put(self, number: int, outcome: BatchOutcome) -> None:
        """Hand over the outcome of an item."""
        if not self.ordered:
            self._ready.append(outcome)
        else:
            self._early[number] = outcome
            while (due := self._early.pop(self._next, None)) is not None:
                self._ready.append(due)
                self._next += 1
        if self._ready:
            self._filled.set()

    def close(self, failure: BaseException | None = None) -> None:
        """Hand over nothing more; the failure is raised behind what was handed over."""
        if self._closed:
            return
        # Where the run ended before its time, what waits for its turn is better told out of turn than not at all.
        self._ready.extend(self._early[number] for number in sorted(self._early))
        self._early.clear()
        self._closed, self._failure = True, failure
        self._filled.set()

    async def get(self) -> BatchOutcome | None:
        """The next outcome; None when there is no other.

        Raises:
            BaseException: What ended the run.
        """
        while not self._ready:
            if self._closed:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return None
            self._filled.clear()
            await self._filled.wait()
        self._read += 1
        self._emptied.set()
        return self._ready.popleft()
