"""Keep the figures of a run that `BatchProgress` shows."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import Factory, define, field

from rebyte_async.batch.progress import BatchProgress, RunningItem

if TYPE_CHECKING:
    from rebyte_async._clock import Time
    from rebyte_async._transport import ServerClock
    from rebyte_async.batch.journal.records import ItemRecord

_MAX_SLOWEST = 5


@define(eq=False, kw_only=True)
class ProgressTracker:
    """Counts what happens in a run."""

    time: Time
    clock: ServerClock
    window: float
    """The time, in seconds, over which the rate is measured."""
    taken: int = field(default=0, init=False)
    resumed: int = field(default=0, init=False)
    """How many outcomes an earlier run had recorded."""
    outcomes: Counter[str] = field(factory=Counter[str], init=False)
    """How many outcomes were handed out, by status."""
    running: dict[int, ItemRecord] = field(factory=dict[int, "ItemRecord"], init=False)
    """The records whose tasks are open, by position."""
    _began: float = field(default=Factory(lambda self: self.time.clock(), takes_self=True), init=False)
    _recent: deque[float] = field(factory=deque[float], init=False)
    """When this run recorded outcomes, within the window."""

    def count_recorded(self) -> None:
        """Note that an outcome was recorded, for the rate."""
        self._recent.append(self.time.clock())
        self._forget_old()

    def _forget_old(self) -> None:
        since = self.time.clock() - self.window
        while self._recent and self._recent[0] < since:
            self._recent.popleft()

    def snapshot(self, *, creating: int, created: int) -> BatchProgress:
        elapsed = self.time.clock() - self._began
        self._forget_old()
        return BatchProgress(
            taken=self.taken,
            running=len(self.running),
            creating=creating,
            ended=dict(self.outcomes),
            resumed=self.resumed,
            created=created,
            elapsed=timedelta(seconds=elapsed),
            rate=len(self._recent) / max(1.0, min(elapsed, self.window)),
            slowest=self._find_slowest(),
        )

    def _find_slowest(self) -> tuple[RunningItem, ...]:
        now = self.clock.now()
        started = [(record.started_at or now, record) for record in self.running.values()]
        longest = heapq.nsmallest(_MAX_SLOWEST, started, key=lambda pair: pair[0])
        return tuple(
            RunningItem(
                key=record.key, task_id=record.task_id or "", running_for=timedelta(seconds=max(0.0, now - since))
            )
            for since, record in longest
        )
