"""The queue in which outcomes wait to be read."""

from __future__ import annotations

from collections import deque

from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async.batch.outcomes import BatchOutcome


@define(eq=False)
class OutcomeQueue:
    """Passes outcomes from the scheduler to the application, which slows the taking of items down by not reading.

    It refers to neither side, so that a run which the application drops can be noticed.
    """

    window: int  # how many items may be taken whose outcomes aren't read yet
    ordered: bool  # whether outcomes come in the order in which their items were taken
    _taken: int = field(default=0, init=False)
    _read: int = field(default=0, init=False)
    _ready: deque[BatchOutcome] = field(factory=deque[BatchOutcome], init=False)
    _early: dict[int, BatchOutcome] = field(factory=dict[int, BatchOutcome], init=False)  # by number, until due
    _next: int = field(default=0, init=False)  # in an ordered queue, the number of the item whose outcome is due
    _is_closed: bool = field(default=False, init=False)
    _failure: BaseException | None = field(default=None, init=False)
    _filled: Signal = field(factory=Signal, init=False)
    _emptied: Signal = field(factory=Signal, init=False)

    async def wait_for_room(self) -> int:
        """Wait until items may be taken; return how many, at least one."""
        await self._emptied.wait_for(lambda: self._taken - self._read < self.window)
        return self.window - (self._taken - self._read)

    def register(self) -> int:
        """Note that an item was taken; return its number, which `put` needs."""
        self._taken += 1
        return self._taken - 1

    def put(self, number: int, outcome: BatchOutcome) -> None:
        if not self.ordered:
            self._ready.append(outcome)
        else:
            self._early[number] = outcome
            while (due := self._early.pop(self._next, None)) is not None:
                self._ready.append(due)
                self._next += 1
        if self._ready:
            self._filled.notify()

    def close(self, failure: BaseException | None = None) -> None:
        """Add no further outcome. `failure` is raised after those that were added."""
        # Where the run ended early, outcomes that wait for their order are better given out of order than not given.
        self._ready.extend(self._early[number] for number in sorted(self._early))
        self._early.clear()
        self._is_closed, self._failure = True, failure
        self._filled.notify()

    async def get(self) -> BatchOutcome | None:
        """Return the next outcome, or None when there is no other; raise the error that ended the run, once."""
        await self._filled.wait_for(lambda: self._ready or self._is_closed)
        if self._ready:
            self._read += 1
            self._emptied.notify()
            return self._ready.popleft()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return None
