"""Evidence for the search for an ambiguous create's task: when it can have been made, and whether prompts identify it.

Pure: both are computed from values that others have read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Self

from attrs import field, frozen

from rebyte_async.batch.matching import AmbiguousCreate, Candidate, describe_tasks
from rebyte_async.types import Task


@frozen(kw_only=True)
class Watermark:
    """The newest task of the service before a run sent its first create.

    It is a lower bound for when an ambiguous create can have made its task. It is taken from other tasks' timestamps
    because no clock is trusted: neither this machine's nor that of the `Date` header.
    """

    taken_at: float
    """When it was taken, by the clock of intents: after every intent of earlier runs, not after any of this run."""
    created_at: float | None = None
    """When the newest task was created; None where there was no task, or none with a time."""
    task_ids: tuple[str, ...] = field(default=(), converter=tuple[str, ...])
    """The newest task, and others that were created in the same instant."""

    @classmethod
    def of_newest(cls, newest: Sequence[Task], taken_at: float) -> Self:
        times = {task.id: task.created_at.timestamp() for task in newest if task.created_at is not None}
        latest = max(times.values(), default=None)
        same = tuple(task_id for task_id, time in times.items() if time == latest)
        return cls(taken_at=taken_at, created_at=latest, task_ids=same)

    @classmethod
    def from_note(cls, note: str | None) -> Self | None:
        """Read the watermark from a run's note in the journal; None where there is none or it can't be read."""
        try:
            fields = json.loads(note or "")
            return cls(taken_at=fields.pop("began"), **fields)
        except (ValueError, TypeError, LookupError, AttributeError):
            return None

    def as_note(self) -> str:
        return json.dumps({"began": self.taken_at, "created_at": self.created_at, "task_ids": self.task_ids})

    @classmethod
    def at_intent(cls, intent_at: float, watermarks: Iterable[Self]) -> Self | None:
        """Choose the watermark of the run that recorded an intent. An earlier run's would be safe as well."""
        earlier = [watermark for watermark in watermarks if watermark.taken_at <= intent_at]
        return max(earlier, key=lambda watermark: watermark.taken_at, default=None)

    def earliest_task_time(self, intent_at: float, min_clock_offset: float | None, slack: float) -> float:
        """Return when the task of a create can have been made at the earliest, by the clock of tasks.

        `min_clock_offset` is the least observed time from an intent to the creation of its task: below 0 where the
        clock of intents is ahead, None where the run has no task yet, so that the clocks can't be compared. The clocks
        within one service may be `slack` seconds apart.
        """
        floor = self.created_at or 0.0
        if min_clock_offset is None:
            return floor
        return max(floor, intent_at + min(0.0, min_clock_offset) - slack)


@frozen(kw_only=True)
class PromptFidelity:
    """Whether the service shows prompts unchanged, so that tasks can be matched to items by their prompts."""

    is_violated: bool = False  # whether the task of an item shows another prompt than was sent
    verified_length: int | None = None  # of the longest prompt that is known to be shown as it was sent

    def doubt_absence(self, create: AmbiguousCreate, others: Sequence[Candidate]) -> str | None:
        """Say why a create without a match may still have made a task; None where it certainly made none.

        `others` are the tasks that show another prompt and fit the create otherwise.
        """
        if not others:
            return None
        if self.is_violated:
            return "the service shows prompts otherwise than they were sent, so prompts don't identify its tasks"
        if self.verified_length is None:
            unverified = "it is not known yet whether the service shows prompts as they were sent"
            return f"{describe_tasks(others)} may be its task: {unverified}"
        if self.verified_length >= len(create.prompt):
            return None
        # Longer prompts than those seen so far may be shown cut, or with something around them.
        altered = [other for other in others if _may_be_altered(other.prompt or "", create.prompt)]
        return f"{describe_tasks(altered)} may be its task, shown otherwise than it was sent" if altered else None


def _may_be_altered(shown: str, sent: str) -> bool:
    """Return whether a shown prompt may be the sent one, cut or with something around it."""
    return sent in shown or sent.startswith(shown) or sent.endswith(shown)
