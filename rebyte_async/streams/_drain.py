"""The decision whether the end of a turn is read once more (contract §4.5, observed)."""

from __future__ import annotations

from attrs import define, evolve, field

from rebyte_async.streams._turn import TailState
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import TaskStatus

_MAX_TRIES = {"completed": 8, "failed": 2}
"""How often the end of a turn is read again, by its status; a canceled turn's never.

At a second each, a completed turn gets 8 seconds for its tail. A failed turn often has no more text to wait for.
"""
_MAX_FRUITLESS = 2  # tries in a row without a new event that suffice where the turn may well be complete already


@define(eq=False, repr=False, weakref_slot=False)
class DrainPolicy:
    """Decides whether the end of a turn is read once more, since the end can be readable a moment before its tail is.

    A completed turn is complete when text has come after its last tool call, and the last event that the server
    announced. Until then it is read again, up to 8 times; 2 tries in a row without anything new suffice when it is
    plausible that nothing is missing. A failed turn is complete with its last event, and is read again at most twice.
    """

    done: Done  # the end, as last reported
    is_certain: bool  # whether a done frame or the content reported the end, and not only the task's status
    _tries: int = field(default=0, init=False)
    _fruitless: int = field(default=0, init=False)  # in a row
    _events_before: int = field(default=-1, init=False)  # how many events had been delivered at the last decision

    def add_final_result(self, text: str) -> None:
        """Add the final result that the content has, unless a done frame had brought one."""
        if not self.done.final_result:
            self.done = evolve(self.done, final_result=text)

    def should_retry(self, tail: TailState, events_seen: int, *, has_failed: bool = False) -> bool:
        """Decide whether to read once more, and count the try.

        A last try that broke on the way (`has_failed`) says nothing about the turn, and only counts.
        """
        if not has_failed:
            self._fruitless = self._fruitless + 1 if events_seen == self._events_before else 0
            self._events_before = events_seen
            if self._is_complete(tail):
                return False
        self._tries += 1
        return self._tries <= _MAX_TRIES.get(self.done.status, 0)

    def _is_complete(self, tail: TailState) -> bool:
        # The task's status alone announces no number, so it can't say that the last event has come.
        has_last = self.is_certain and tail.reaches(self.done.last_seq)
        if has_last and (tail.has_final_text or self.done.status == TaskStatus.FAILED):
            return True
        is_plausible = tail.has_final_text or (has_last and bool(self.done.final_result))
        return is_plausible and self._fruitless >= _MAX_FRUITLESS
