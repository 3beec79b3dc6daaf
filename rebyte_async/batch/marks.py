"""From when on the task of a create may have been made: told by tasks alone, where no clock is known to be right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self, cast

from attrs import asdict, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rebyte_async.types import Task

__all__ = ["Mark"]


def _names(task_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(task_ids)


@frozen(kw_only=True)
class Mark:
    """The newest task of all before a run sent its first create."""

    began: float
    """When that was, by the clock of the run's intents, of which none is before it, and none of earlier runs behind."""
    created_at: float | None = None
    """When it was made; None where there was none, or none was told."""
    task_ids: tuple[str, ...] = field(default=(), converter=_names)
    """It, and others that were made in the same instant."""

    @classmethod
    def at(cls, newest: Sequence[Task], began: float) -> Self:
        """The mark of a run that begins."""
        times = {task.id: task.created_at.timestamp() for task in newest if task.created_at is not None}
        latest = max(times.values(), default=None)
        same = tuple(task_id for task_id, time in times.items() if time == latest)
        return cls(began=began, created_at=latest, task_ids=same)

    @classmethod
    def read(cls, note: str | None) -> Self | None:
        """The mark that a run has noted, if it has."""
        try:
            facts = json.loads(note or "")
            return cls(**facts)
        except (ValueError, TypeError):
            return None

    def as_note(self) -> str:
        """The mark as a run notes it."""
        return json.dumps(cast("dict[str, object]", asdict(self)))

    @classmethod
    def of(cls, intent_at: float, marks: Iterable[Self]) -> Self | None:
        """The mark of the run that has sent a create, if it can be told; an earlier one does no harm."""
        before = [mark for mark in marks if mark.began <= intent_at]
        return max(before, key=lambda mark: mark.began, default=None)

    def earliest(self, intent_at: float, apart: float | None, slack: float) -> float:
        """When the task of a create can have been made at the earliest, by the clock of tasks.

        Args:
            intent_at: The intent of the create.
            apart: How much earlier than their intents other creates of this clock have made their tasks, at most;
                None where there was no other, so that nothing tells whether the clocks agree.
            slack: How far they may be apart within one service.
        """
        floor = self.created_at or 0.0
        return floor if apart is None else max(floor, intent_at + min(0.0, apart) - slack)
