"""The end of a turn, as far as its events show it."""

from __future__ import annotations

from attrs import define, field

from rebyte_async.streams.text import join_end
from rebyte_async.types.events import ResultEvent, TaskEvent, TextEvent, ToolUseEvent

_TEXTS = (TextEvent, ResultEvent)


def squeeze(text: str) -> str:
    """Return a text without its white space: its repeats may differ in that (contract §4, observed)."""
    return "".join(text.split())


@define(eq=False, repr=False, weakref_slot=False)
class TailState:
    """The end of a turn as far as its events show it, replayed ones included (contract §4.5)."""

    has_final_text: bool = field(default=False, init=False)  # whether text has come after the last tool call
    texts: list[str] | None = field(default=None, init=False)
    """The texts that this replay has shown after its last call."""
    _joined: int = field(default=0, init=False)  # how many of the first of them are joined ones
    last_seq: int = field(default=-1, init=False)  # the highest number that has come
    _calls: set[str | int] | None = field(default=None, init=False)  # the tool calls that are known
    _ahead: set[str | int] | None = field(default=None, init=False)  # those that this replay hasn't reached yet
    _has_begun: bool = field(default=False, init=False)  # whether this replay has brought an event
    _call_seq: int | None = field(default=None, init=False)  # the number of the last call, as this replay numbers

    def restart(self, *, is_whole: bool = False) -> None:
        """Expect a replay: a text that it shows before a call that is known isn't after the last call.

        It is certain to be one from the turn's start (`is_whole`), or that shows with its first event.
        """
        self._ahead = self._calls and self._calls.copy()
        self._has_begun = is_whole
        if is_whole:
            self._call_seq = self.texts = None

    def observe(self, event: TaskEvent, is_new: bool) -> None:
        """Take note of an event of the turn, new or replayed."""
        if not self._has_begun:
            self._has_begun = True
            if is_new:  # the server resumed where it had stopped instead of replaying: no known call will come again
                self._ahead = None
            else:  # a replay may number the events differently (contract §4.2)
                self._call_seq = self.texts = None
        seq = event.seq
        if isinstance(event, ToolUseEvent):
            self._observe_call(event)
        elif isinstance(event, _TEXTS):
            if self.texts is None:
                self.texts, self._joined = [], 0
            self._joined = join_end(self.texts, self._joined)
            self.texts.append(event.text)
            if not self.has_final_text:
                # A text that comes after the call but has a lower number is a repeated or late one.
                is_after_call = seq is None or self._call_seq is None or seq > self._call_seq
                self.has_final_text = bool(event.text) and not self._ahead and is_after_call
        if seq is not None and seq > self.last_seq:
            self.last_seq = seq

    def _observe_call(self, event: ToolUseEvent) -> None:
        identity = event.seq if event.event_key is None else event.event_key
        call = event.tool_id if identity is None else identity
        if self._calls is None:
            self._calls = set()
        if identity in self._calls and identity not in (self._ahead or ()):  # the same call, twice on one connection
            return
        self.has_final_text = False
        self.texts = None
        self._calls.add(call)
        if self._ahead:
            self._ahead.discard(call)
        if event.seq is not None and (self._call_seq is None or event.seq > self._call_seq):
            self._call_seq = event.seq

    def reaches(self, last_seq: int | None) -> bool:
        """Whether the last event that the server announced has come; True when it announced none."""
        return last_seq is None or self.last_seq >= last_seq

    @property
    def final_text(self) -> str:
        """The text that this replay has shown after the last call, without white space."""
        return squeeze("".join(self.texts or ()))
