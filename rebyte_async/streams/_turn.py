"""Whether a turn that says it has ended has shown everything (contract §4.5, observed)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.types.events import ResultEvent, TaskEvent, TextEvent, ToolUseEvent
from rebyte_async.types.statuses import TaskStatus

if TYPE_CHECKING:
    from rebyte_async.types.events import Done

__all__ = ["Drain", "Turn"]

_TRIES = {"completed": 8, "failed": 2}
_FRUITLESS = 2
_TEXTS = (TextEvent, ResultEvent)


class Turn:
    """What the events of a turn tell of its end, replays included."""

    __slots__ = ("_last_seq", "answered")

    def __init__(self) -> None:
        self.answered = False
        """Whether text has come after the last tool call."""
        self._last_seq = -1

    def observe(self, event: TaskEvent) -> None:
        """Note an event of the turn, whether it is new or replayed."""
        if isinstance(event, _TEXTS):
            if event.text:
                self.answered = True
        elif isinstance(event, ToolUseEvent):
            self.answered = False
        seq = event.seq
        if seq is not None and seq > self._last_seq:
            self._last_seq = seq

    def reaches(self, last_seq: int | None) -> bool:
        """Whether the last event that the server speaks of has come; True when it speaks of none."""
        return last_seq is None or self._last_seq >= last_seq


class Drain:
    """Decides whether the end of a turn is read again, since it can be readable a moment before its tail is.

    A completed turn is complete when text has come after its last tool call, and the last event that the server
    speaks of. Until then it is read again, 8 times at most; 2 tries in a row without anything new are enough when it
    may well be complete. A failed one is complete with its last event, and read again at most twice; a canceled one
    never.
    """

    __slots__ = ("_fruitless", "_seen", "_tries", "certain", "done")

    def __init__(self, done: Done, *, certain: bool) -> None:
        self.done = done
        """The end, as last told."""
        self.certain = certain
        """Whether the stream has told it, and not only the task's status."""
        self._tries = 0
        self._fruitless = 0
        self._seen = -1

    def again(self, turn: Turn, events_seen: int) -> bool:
        """Whether to read once more; counts the try."""
        self._fruitless = self._fruitless + 1 if events_seen == self._seen else 0
        self._seen = events_seen
        reached = self.certain and turn.reaches(self.done.last_seq)
        complete = reached and (turn.answered or self.done.status == TaskStatus.FAILED)
        if complete or self._tries >= _TRIES.get(self.done.status, 0):
            return False
        plausible = turn.answered or (reached and self.done.final_result)
        if plausible and self._fruitless >= _FRUITLESS:
            return False
        self._tries += 1
        return True
