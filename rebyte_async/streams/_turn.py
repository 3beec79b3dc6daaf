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

    __slots__ = ("_ahead", "_begun", "_call_seq", "_calls", "_last_seq", "answered")

    def __init__(self) -> None:
        self.answered = False
        """Whether text has come after the last tool call."""
        self._last_seq = -1
        self._calls: set[str | int] | None = None
        self._ahead: set[str | int] | None = None  # the known calls that the replay hasn't reached yet
        self._begun = False
        self._call_seq: int | None = None  # the number of the last call, in the numbering of this replay

    def restart(self) -> None:
        """Note that the turn is replayed from its start: a text that comes before a known call answers nothing."""
        self._ahead, self._begun = self._calls and self._calls.copy(), False

    def observe(self, event: TaskEvent, is_new: bool) -> None:
        """Note an event of the turn, whether it is new or replayed."""
        if not self._begun:
            self._begun = True
            if is_new:  # the server went on where it had stopped instead of replaying
                self._ahead = None
            else:
                self._call_seq = None
        seq = event.seq
        if isinstance(event, ToolUseEvent):
            self._call(event)
        elif not self.answered and isinstance(event, _TEXTS):
            self.answered = bool(event.text) and not self._ahead and self._is_behind(seq)
        if seq is not None and seq > self._last_seq:
            self._last_seq = seq

    def _is_behind(self, seq: int | None) -> bool:
        """Whether a text comes after the last call, and is no repeated or late one from before it."""
        return seq is None or self._call_seq is None or seq > self._call_seq

    def _call(self, event: ToolUseEvent) -> None:
        identity = event.seq if event.event_key is None else event.event_key
        call = event.tool_id if identity is None else identity
        if self._calls is None:
            self._calls = set()
        if identity in self._calls and identity not in (self._ahead or ()):  # it came twice
            return
        self.answered = False
        self._calls.add(call)
        if self._ahead:
            self._ahead.discard(call)
        if event.seq is not None and (self._call_seq is None or event.seq > self._call_seq):
            self._call_seq = event.seq

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

    def again(self, turn: Turn, events_seen: int, *, failed: bool = False) -> bool:
        """Whether to read once more; counts the try.

        Args:
            turn: What has come.
            events_seen: How many events were given out.
            failed: Whether the last try failed on the way. Then it says nothing about the turn, and only counts.
        """
        if failed:
            return self._count()
        self._fruitless = self._fruitless + 1 if events_seen == self._seen else 0
        self._seen = events_seen
        reached = self.certain and turn.reaches(self.done.last_seq)
        complete = reached and (turn.answered or self.done.status == TaskStatus.FAILED)
        plausible = turn.answered or (reached and self.done.final_result)
        if complete or (plausible and self._fruitless >= _FRUITLESS):
            return False
        return self._count()

    def _count(self) -> bool:
        self._tries += 1
        return self._tries <= _TRIES.get(self.done.status, 0)
