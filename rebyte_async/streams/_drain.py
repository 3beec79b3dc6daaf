"""The decision what is read next of a turn that has ended: its tail may be missing (contract §4.5, observed)."""

from __future__ import annotations

from enum import Enum

from attrs import define, evolve, field

from rebyte_async.streams._turn import TurnState
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import TaskStatus
from rebyte_async.types.tasks import PromptContent

_MAX_TRIES = {"completed": 8, "failed": 2}
"""How often the end of a turn is read again, by its status; a canceled turn's never.

At a second each, a completed turn gets 8 seconds for its tail. A failed turn often has no more text to wait for.
"""
_MAX_FRUITLESS = 2  # tries in a row without a new event that suffice where the content or the text confirm the end


class NextRead(Enum):
    """What is read next of a turn that has ended."""

    STREAM = "the stream once more, after a pause"
    CONTENT = "the task's content, at once"
    NOTHING = "there is no need, or no hope"


@define(eq=False, repr=False, weakref_slot=False)
class DrainPolicy:
    """Decides what is read next, since the end of a turn can be readable a moment before its tail is.

    A completed turn is complete when the last event that the server announced has come, and after the last tool call a
    text that holds the final result. Until then the stream is read again, up to 8 times, and the content after the
    first try that brings nothing new and after the last one. Where the content has the turn's response, and no event
    that hasn't come, 2 fruitless tries suffice, although the response isn't in the text or is empty. A failed turn is
    complete with its last event.
    """

    done: Done  # the end, as last reported
    is_certain: bool  # whether a done frame or the content reported the end, and not only the task's status
    has_content: bool = field(default=False, init=False)  # whether the content has the events of the turn as ended
    _has_response: bool = field(default=False, init=False)  # whether it has a response too, be it empty
    is_content_read: bool = field(default=False, init=False)  # at any time
    _is_content_current: bool = field(default=False, init=False)  # whether it was read after the last try
    _tries: int = field(default=0, init=False)
    _fruitless: int = field(default=0, init=False)  # in a row
    _events_before: int = field(default=-1, init=False)  # how many events had been delivered at the last decision

    def add_done(self, done: Done) -> None:
        """Take over the end as a done frame reports it again; the tries so far still count."""
        self.done = evolve(done, final_result=done.final_result or self.done.final_result)
        self.is_certain = True

    def add_content(self, content: PromptContent | None, turn: TurnState) -> None:
        """Add what the content says of the end, unless a done frame had said it; None if it says nothing."""
        self.is_content_read = self._is_content_current = True
        if content is None:
            return
        last_seq = None if content.events and self.done.last_seq == -1 else self.done.last_seq
        self.done = evolve(self.done, last_seq=last_seq, final_result=self.done.final_result or content.response or "")
        if content.events is not None and (content.status is None or content.is_terminal):
            numbers = [event.seq for event in content.events if event.seq is not None]
            self.has_content = not numbers or turn.tail.last_seq <= max(numbers)  # else it lags behind the stream
            self._has_response = self.has_content and content.response is not None

    def exhaust(self) -> None:
        """Leave the content as the only thing to read, once."""
        self._tries = _MAX_TRIES.get(self.done.status, 0)

    def after_stream(self, turn: TurnState) -> NextRead:
        """Decide what is read after the stream, whose replay has ended."""
        self._fruitless = self._fruitless + 1 if turn.events_seen == self._events_before else 0
        self._events_before = turn.events_seen
        return self.after_content(turn)

    def after_content(self, turn: TurnState) -> NextRead:
        """Decide what is read after the content, which was delivered."""
        if self.is_complete(turn):
            return NextRead.NOTHING if self.is_content_read or self._is_evident(turn) else NextRead.CONTENT
        return NextRead.NOTHING if self._is_settled(turn) else self.after_failure()

    def after_failure(self) -> NextRead:
        """Decide what is read after a try that broke on the way: it says nothing about the turn, and only counts."""
        tries_left = _MAX_TRIES.get(self.done.status, 0) - self._tries
        is_due = not tries_left or (self._fruitless and not self.is_content_read)
        if is_due and not self._is_content_current:
            return NextRead.CONTENT
        if not tries_left:
            return NextRead.NOTHING
        self._tries += 1
        self._is_content_current = False
        return NextRead.STREAM

    def is_complete(self, turn: TurnState) -> bool:
        """Whether nothing of the turn is missing, as far as its end says."""
        if self.done.status == TaskStatus.CANCELED:
            return True
        # The task's status alone announces no number, so it can't say that the last event has come.
        has_last = (self.is_certain or self.has_content) and turn.tail.reaches(self.done.last_seq)
        return has_last and (self.done.status == TaskStatus.FAILED or self._has_answer(turn))

    def is_acceptable(self, turn: TurnState) -> bool:
        """Whether the turn may end like this after stream and content were read.

        Only a completed turn has a tail that is certain to exist, so no other end is lost to one that can't be had.
        """
        has_last = turn.tail.reaches(self.done.last_seq)
        has_answer = bool(self.done.final_result) and self._has_answer(turn)
        is_announced = self.has_content or (self.is_certain and self.done.last_seq is not None)
        if self.done.status != TaskStatus.COMPLETED or self.is_complete(turn) or (has_last and is_announced):
            return True
        return has_answer and (has_last or self.has_content)

    def _is_evident(self, turn: TurnState) -> bool:
        """Whether the end of a complete turn needs no look at the content: its text ends with its final result."""
        return self.done.status != TaskStatus.COMPLETED or turn.ends_with(self.done.final_result)

    def _is_settled(self, turn: TurnState) -> bool:
        """Whether enough was read of a turn that isn't complete by its own words: its text lacks its result, say."""
        has_result = bool(self.done.final_result)
        is_confirmed = self._has_response and (turn.tail.has_final_text or not has_result)
        is_known = is_confirmed or (has_result and self._has_answer(turn))
        return self._fruitless >= _MAX_FRUITLESS and turn.tail.reaches(self.done.last_seq) and is_known

    def _has_answer(self, turn: TurnState) -> bool:
        return turn.tail.has_final_text and turn.has_final_result(self.done.final_result)
