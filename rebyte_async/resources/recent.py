"""The tasks that a client has just created, whose first reads may come too early."""

from __future__ import annotations

import math
from collections import OrderedDict

from attrs import define, field

__all__ = ["Recent"]

_GRACE = 5.0
"""Seconds after its creation during which a task that isn't found is taken to be not there yet."""
_KEPT = 10_000
_NEVER = -math.inf


@define(eq=False)
class Recent:
    """Remembers when tasks were created, for a while."""

    _created: OrderedDict[str, float] = field(factory=OrderedDict[str, float], init=False)

    def add(self, task_id: str, now: float) -> None:
        """Note a new task."""
        self._created[task_id] = now
        while self._created and (len(self._created) > _KEPT or next(iter(self._created.values())) + _GRACE < now):
            self._created.popitem(last=False)

    def forgive_until(self, task_id: str) -> float:
        """Until when, on the same clock, a 404 for the task means that it isn't there yet."""
        created = self._created.get(task_id)
        return _NEVER if created is None else created + _GRACE
