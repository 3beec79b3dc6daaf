"""How far a run is."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - users resolve the annotations at run time
from datetime import timedelta

from attrs import field, frozen

__all__ = ["BatchProgress", "RunningItem"]


@frozen(kw_only=True)
class RunningItem:
    """An item whose task is open."""

    key: str
    """Its key."""
    task_id: str
    """Its task."""
    running_for: timedelta
    """Since when."""


@frozen(kw_only=True)
class BatchProgress:
    """A snapshot of a run."""

    taken: int = 0
    """Items taken from the iterable so far."""
    running: int = 0
    """Tasks that are open, those of an earlier run counted."""
    creating: int = 0
    """Creates that are under way or in doubt."""
    ended: Mapping[str, int] = field(factory=dict[str, int])
    """Items that have an outcome, by status; those that an earlier run had ended counted."""
    resumed: int = 0
    """Those of them that an earlier run had ended."""
    created: int = 0
    """Tasks that this run has made."""
    elapsed: timedelta = timedelta(0)
    """Since the run has started."""
    rate: float = 0.0
    """Items that ended in this run, a second, over the last minute."""
    slowest: tuple[RunningItem, ...] = ()
    """The open tasks that have run longest, at most five, the longest first."""

    @property
    def done(self) -> int:
        """How many items have an outcome."""
        return sum(self.ended.values())
