"""The progress of a run: the snapshot that applications get, and the counts that it is made of."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping
from datetime import timedelta

from attrs import Factory, define, field, frozen

from rebyte_async._clock import Time
from rebyte_async._transport import ServerClock
from rebyte_async.batch.journal.records import ItemRecord
from rebyte_async.types.values import Value

_MAX_SLOWEST = 5


@frozen(kw_only=True, repr=False)
class RunningItem(Value):
    """An item whose task is open."""

    key: str
    """The item's key."""
    task_id: str
    """Its task."""
    running_for: timedelta
    """How long the task has run."""


@frozen(kw_only=True, repr=False)
class BatchProgress(Value):
    """A snapshot of a run."""

    total: int | None = None
    """How many items there are, where that is known: `total` of the run, the length of a list, or all once taken."""
    taken: int = 0
    """Items taken from the iterable so far."""
    running: int = 0  # the open tasks, by position
    creating: int = 0
    """Creates that are in flight or ambiguous."""
    searching: int = 0
    """Creates of earlier runs whose tasks are looked for, before this run makes any."""
    ended: Mapping[str, int] = field(factory=dict[str, int], hash=False)
    """Items that have an outcome, by status, with those that ended in an earlier run."""
    resumed: int = 0
    """Those of them that ended in an earlier run."""
    created: int = 0
    """Tasks that this run has made."""
    elapsed: timedelta = timedelta(0)
    """The time since the run started."""
    rate: float = 0.0
    """Items that ended in this run per second, over the last minute."""
    slowest: tuple[RunningItem, ...] = ()
    """The open tasks that have run longest, at most five, the longest first."""

    @property
    def done(self) -> int:
        """How many items have an outcome."""
        return sum(self.ended.values())

    @property
    def eta(self) -> timedelta | None:
        """The time that the rest takes at `rate`.

        None while it isn't known: without a total, while nothing ends, and when all that is left runs, since each
        task takes its own time.
        """
        if self.total is None or self.done >= self.total:
            return None if self.total is None else timedelta(0)
        is_waiting = self.done + self.running + self.creating < self.total
        return timedelta(seconds=(self.total - self.done) / self.rate) if is_waiting and self.rate > 0 else None

    def _show_fields(self) -> list[tuple[str, object]]:
        return [*super()._show_fields(), ("done", self.done), ("eta", self.eta)]


@define(eq=False)
class ProgressTracker:
    """Counts what happens in a run."""

    time: Time
    clock: ServerClock
    window: float  # the time, in seconds, over which the rate is measured
    total: int | None = field(default=None, init=False)  # how many items there are, where that is known
    taken: int = field(default=0, init=False)
    resumed: int = field(default=0, init=False)
    searching: int = field(default=0, init=False)
    outcomes: Counter[str] = field(factory=Counter[str], init=False)  # how many outcomes were handed out, by status
    running: dict[int, ItemRecord] = field(factory=dict[int, ItemRecord], init=False)  # open tasks, by position
    _began: float = field(default=Factory(lambda self: self.time.clock(), takes_self=True), init=False)
    _recent: deque[float] = field(factory=deque[float], init=False)  # when this run recorded outcomes

    def begin_again(self) -> None:
        """Forget the items without an outcome: another session takes them again."""
        self.running.clear()
        self.taken = self.outcomes.total()

    def count_recorded(self) -> None:
        self._recent.append(self.time.clock())
        self._forget_old()

    def _forget_old(self) -> None:
        since = self.time.clock() - self.window
        while self._recent and self._recent[0] < since:
            self._recent.popleft()

    def snapshot(self, *, creating: int, created: int) -> BatchProgress:
        self._forget_old()
        elapsed = self.time.clock() - self._began
        now = self.clock.now()
        started = [(record.started_at or now, record) for record in self.running.values()]
        longest = heapq.nsmallest(_MAX_SLOWEST, started, key=lambda pair: pair[0])
        ages = [(record, timedelta(seconds=max(0.0, now - since))) for since, record in longest]
        return BatchProgress(
            total=None if self.total is None else max(self.total, self.taken),
            taken=self.taken,
            running=len(self.running),
            creating=creating,
            searching=self.searching,
            ended=dict(self.outcomes),
            resumed=self.resumed,
            created=created,
            elapsed=timedelta(seconds=elapsed),
            rate=len(self._recent) / max(1.0, min(elapsed, self.window)),
            slowest=tuple(RunningItem(key=one.key, task_id=one.task_id or "", running_for=age) for one, age in ages),
        )
