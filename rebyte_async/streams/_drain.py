"""The decision whether the end of a turn is read once more (contract §4.5, observed)."""

from __future__ import annotations

from attrs import define, evolve, field

from rebyte_async.streams._turn import TurnState
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import TaskStatus
from rebyte_async.types.tasks import PromptContent

_MAX_TRIES = {"completed": 8, "failed": 2}
"""How often the end of a turn is read again, by its status; a canceled turn's never.

At a second each, a completed turn gets 8 seconds for its tail. A failed turn often has no more text to wait for.
"""
_MAX_FRUITLESS = 2  # tries in a row without a new event that suffice where no number was announced to wait for


@define(eq=False, repr=False, weakref_slot=False)
class DrainPolicy:
    """Decides whether the end of a turn is read once more, since the end can be readable a moment before its tail is.

    A completed turn is complete when text has come after its last tool call that holds the final result, and the last
    event that the server announced. Until then it is read again, up to 8 times. Where only the task reports the end, so
    that no last event is announced, 2 tries in a row without anything new suffice once that text is there. A failed
    turn is complete with its last event, and is read again at most twice. What the stream doesn't bring by then is
    looked for in the task's content.
    """

    done: Done  # the end, as last reported
    is_certain: bool  # whether a done frame or the content reported the end, and not only the task's status
    _tries: int = field(default=0, init=False)
    _fruitless: int = field(default=0, init=False)  # in a row
    _events_before: int = field(default=-1, init=False)  # how many events had been delivered at the last decision

    def add_content(self, turn: PromptContent) -> None:
        """Add what the content says of the end, unless a done frame had said it."""
        last_seq = None if turn.events and self.done.last_seq == -1 else self.done.last_seq
        self.done = evolve(self.done, last_seq=last_seq, final_result=self.done.final_result or turn.response or "")

    def should_retry(self, turn: TurnState, *, has_failed: bool = False) -> bool:
        """Decide whether to read once more, and count the try.

        A last try that broke on the way (`has_failed`) says nothing about the turn, and only counts.
        """
        if not has_failed:
            self._fruitless = self._fruitless + 1 if turn.events_seen == self._events_before else 0
            self._events_before = turn.events_seen
            is_quiet = not self.is_certain and self._fruitless >= _MAX_FRUITLESS and self._has_answer(turn)
            if is_quiet or self.is_complete(turn):
                return False
        self._tries += 1
        return self._tries <= _MAX_TRIES.get(self.done.status, 0)

    def is_complete(self, turn: TurnState) -> bool:
        """Whether nothing of the turn is missing, as far as its end says."""
        # The task's status alone announces no number, so it can't say that the last event has come.
        has_last = self.is_certain and turn.tail.reaches(self.done.last_seq)
        return has_last and (self.done.status == TaskStatus.FAILED or self._has_answer(turn))

    def is_acceptable(self, turn: TurnState, *, has_content: bool) -> bool:
        """Whether the turn may end like this after stream and content (`has_content`, if it has the turn) were read.

        Only a completed turn has a tail that is certain to exist, so no other end is lost to one that can't be had.
        """
        has_last = turn.tail.reaches(self.done.last_seq)
        has_answer = bool(self.done.final_result) and self._has_answer(turn)
        is_announced = has_content or (self.is_certain and self.done.last_seq is not None)
        if self.done.status != TaskStatus.COMPLETED or self.is_complete(turn) or (has_last and is_announced):
            return True
        return has_answer and (has_last or has_content)

    def _has_answer(self, turn: TurnState) -> bool:
        return turn.tail.has_final_text and turn.has_final_result(self.done.final_result)
