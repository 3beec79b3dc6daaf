"""The events of one turn: frames in, new events out. No clock, no socket.

A `TurnState` knows which events are the turn's, which of them are new, and what they say about its end; it decides
nothing. What can't be decided from the frames alone stops it (`blocked_by`) until the reader has dealt with that.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from itertools import chain

from attrs import define, field

from rebyte_async._wire import json
from rebyte_async._wire.events import decode_done, decode_event, event_from_mapping
from rebyte_async.errors import DecodeError
from rebyte_async.sse import ServerSentEvent
from rebyte_async.streams._cursor import shorten_prompt_id, write_cursor
from rebyte_async.streams._delivered import Delivered, DeliveredSet
from rebyte_async.streams._digest import Identity
from rebyte_async.streams._subprompts import SubPrompts
from rebyte_async.streams.text import TextAssembler
from rebyte_async.types.events import Done, ResultEvent, TaskEvent, TextEvent, ToolResultEvent, ToolUseEvent
from rebyte_async.types.statuses import task_status
from rebyte_async.types.tasks import TaskResult

_log = logging.getLogger("rebyte_async")
NO_FRAMES: list[ServerSentEvent] = []
"""The queue of every stream that waits; never filled, so that a thousand idle streams share one list."""
_UNNAMED = "message"
_KEEP_ALIVES = ("", "{}")  # the data of a frame that is named `event` and is none
_MAX_KEEP_ALIVE = 2  # the length of the longest of them
_EVENT_TYPE = '"eventType"'  # without it, a frame that has no name and is no event is a keep-alive
_DELEGATING = (ToolUseEvent, ToolResultEvent)
_TEXTS = (TextEvent, ResultEvent)
_NONE: frozenset[str] = frozenset()


@define(eq=False, repr=False, weakref_slot=False)
class TailState:
    """The end of a turn as far as its events show it, replayed ones included (contract §4.5)."""

    has_final_text: bool = field(default=False, init=False)  # whether text has come after the last tool call
    _texts: list[str] | None = field(default=None, init=False)  # those that this replay has shown after its last call
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
            self._call_seq = self._texts = None

    def observe(self, event: TaskEvent, is_new: bool) -> None:
        """Take note of an event of the turn, new or replayed."""
        if not self._has_begun:
            self._has_begun = True
            if is_new:  # the server resumed where it had stopped instead of replaying: no known call will come again
                self._ahead = None
            else:  # a replay may number the events differently (contract §4.2)
                self._call_seq = self._texts = None
        seq = event.seq
        if isinstance(event, ToolUseEvent):
            self._observe_call(event)
        elif isinstance(event, _TEXTS):
            if self._texts is None:
                self._texts = []
            self._texts.append(event.text)
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
        self._texts = None
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
        return _squeeze("".join(self._texts or ()))


def _is_event(name: str, data: str, _: str) -> bool:
    try:
        decode_event(data)
    except DecodeError:
        return False
    return name == "event"


def _squeeze(text: str) -> str:
    return "".join(text.split())


@define(eq=False, repr=False, weakref_slot=False)
class TurnState:
    """The events of a turn as they come, whatever connection or read they come by."""

    task_id: str
    prompt_id: str | None  # the turn, as soon as it is known
    delivered: Delivered  # which of its events were delivered
    subprompts: SubPrompts | None  # the turn's delegations, where they are followed
    tail: TailState = field(factory=TailState, init=False)
    events_seen: int = field(default=0, init=False)  # how many events were delivered
    piece: str = field(default="", init=False)  # what the last event added to the text
    _text: TextAssembler = field(factory=TextAssembler, init=False)
    _announced: frozenset[str] = field(default=_NONE, init=False)  # the sub-prompts that the tool calls named
    # From a read apart from the stream, each with its sub-prompt; they are delivered before any frame. Those with an
    # identity were withheld, and are new.
    _injected: deque[tuple[TaskEvent, str, Identity | None]] | None = field(default=None, init=False)
    _had_activity: bool = field(default=False, init=False)
    # Of this connection:
    _frames: list[ServerSentEvent] = field(default=NO_FRAMES, init=False)
    """Received and not yet decoded, the first of them last: a list is popped quickest at its end."""
    saw_turn_event: bool = field(default=False, init=False)
    """Whether the connection has brought an event of the turn, new or replayed."""
    foreign_prompt_id: str | None = field(default=None, init=False)  # another turn that the connection shows
    _ignored_prompt_ids: frozenset[str] = field(default=_NONE, init=False)  # earlier turns that it shows
    blocked_by: Done | str | None = field(default=None, init=False)
    """What the reader must deal with, and then `unblock`, before more frames are decoded.

    A done frame; or the prompt id of another turn, while it is open whether that turn is earlier or later.
    """

    def restart(self) -> None:
        """Expect the turn from its first event, on a new connection; drop what an earlier one had brought."""
        self._frames = NO_FRAMES
        self._ignored_prompt_ids = _NONE
        self.saw_turn_event = False
        self.foreign_prompt_id = self.blocked_by = None
        self.delivered.restart()
        self.tail.restart()

    @property
    def has_more(self) -> bool:
        return bool(self._frames or self._injected)

    def add_frames(self, frames: list[ServerSentEvent]) -> None:
        """Queue frames. The list is taken over."""
        frames.reverse()
        self._frames = frames + self._frames if self._frames else frames

    def next_event(self, frames: list[ServerSentEvent] = NO_FRAMES) -> TaskEvent | None:
        """Return the next new event out of what has come, or None where more must be read.

        This is the hot path: it is one function, and does the work of `add_frames`, so that an event passes few.
        It raises `DecodeError` for a frame that is no JSON object with an event type; the frames after it are kept.
        """
        if frames:
            frames.reverse()
            self._frames = frames + self._frames if self._frames else frames
        while True:
            if self._injected:
                event, sub_prompt, identity = self._injected.popleft()
                delivered = self.delivered.of(sub_prompt)
                if identity is not None:
                    delivered.add_identity(identity)
                    return self._deliver(event, sub_prompt)
                is_new = delivered.add(event, True)
            elif self._frames and self.blocked_by is None:
                name, data, _ = self._frames.pop()
                is_event = name == "event" and len(data) > _MAX_KEEP_ALIVE
                found = decode_event(data) if is_event else self._decode_other(name, data)
                if (
                    found is None
                    or (owner := "" if found.prompt_id == self.prompt_id else self._classify(found)) is None
                ):
                    continue
                event, sub_prompt = found, owner
                delivered = self.delivered.of(sub_prompt) if sub_prompt else self.delivered.own
                is_new = delivered.add(event)
            else:
                return None
            self._had_activity = True
            if not sub_prompt:
                self.saw_turn_event = True
                self.tail.observe(event, is_new)
            if isinstance(event, _DELEGATING):  # also a replayed one: after a resume nothing else names its sub-prompt
                self._note_delegation(event)
            if is_new:
                return self._deliver(event, sub_prompt)
            self._inject_released(delivered, sub_prompt)

    def _deliver(self, event: TaskEvent, sub_prompt: str) -> TaskEvent:
        self.events_seen += 1
        self.piece = "" if sub_prompt else self._text.feed(event)
        self._frames = self._frames or NO_FRAMES  # a stream that waits shares the empty list
        return event

    def _decode_other(self, name: str, data: str) -> TaskEvent | None:
        """Decode a frame that isn't named `event`, or is as short as a keep-alive: return its event, if it has one.

        GUESS(§7): an `error` frame is an error event, whatever its data. A `done` frame blocks; what comes after it on
        the connection is read as far as it is an event, and can't spoil the end.
        """
        if name == "done":
            self.blocked_by = decode_done(data)
            self._frames = [frame for frame in self._frames if _is_event(*frame)]
            return None
        try:
            return decode_event(data)
        except DecodeError:
            if (name == "event" and data not in _KEEP_ALIVES) or (name == _UNNAMED and _EVENT_TYPE in data):
                raise
        if name != "error":  # such as a ping, or a keep-alive without a name
            return None
        try:
            payload = json.loads(data)
        except ValueError:
            payload = data
        if not isinstance(payload, dict):
            payload = {"message": str(payload)}
        return event_from_mapping({"eventType": "error", "payload": payload})

    def _classify(self, event: TaskEvent) -> str | None:
        """Return the owner of an event that doesn't name our turn: a sub-prompt, the turn after all (""), or None."""
        prompt_id = event.prompt_id
        if prompt_id is None:
            return ""
        if self.prompt_id is None:  # bind the stream to the turn of its first event
            self.prompt_id = prompt_id
            return ""
        if prompt_id in self._announced:
            return prompt_id
        self.recognize([prompt_id])
        if prompt_id == self.prompt_id:
            return ""
        self.foreign_prompt_id = prompt_id
        if prompt_id not in self._ignored_prompt_ids:
            self.blocked_by = prompt_id
        return None

    def _note_delegation(self, event: ToolUseEvent | ToolResultEvent) -> None:
        if event.sub_prompt_id is not None:
            self._announced |= {event.sub_prompt_id}
        if self.subprompts is not None:
            self.subprompts.note(event)

    def recognize(self, prompt_ids: Iterable[str]) -> None:
        """Learn the turn's id from those of its task, where a cursor has only the digest of a long one."""
        self.prompt_id = next(
            (name for name in prompt_ids if shorten_prompt_id(name) == self.prompt_id), self.prompt_id
        )

    def unblock(self) -> None:
        self.blocked_by = None

    def ignore_turn(self, prompt_id: str) -> None:
        """Skip the events of an earlier turn that this connection shows."""
        self._ignored_prompt_ids |= {prompt_id}

    def discard_frames(self) -> None:
        self._frames = NO_FRAMES

    def take_activity(self) -> bool:
        """Return whether an event of the turn, new or replayed, was decoded since the last call."""
        had_activity, self._had_activity = self._had_activity, False
        return had_activity

    def inject(self, events: Iterable[tuple[TaskEvent, str]]) -> None:
        """Have the events of a read apart from the stream delivered, each with its sub-prompt ("" for the turn)."""
        self.delivered.restart(out_of_band=True)
        self._injected = deque(chain(self._injected or (), ((event, owner, None) for event, owner in events)))

    def inject_turn(self, events: Iterable[TaskEvent]) -> None:
        """Have the events of the turn delivered as its content has them: a replay of the whole turn."""
        self.tail.restart(is_whole=True)
        self.inject((event, "") for event in events)

    def release_withheld(self) -> bool:
        """Have all events delivered of which it couldn't be decided whether they were; True if there are any."""
        for sub_prompt, delivered in self.delivered.items():
            delivered.release_all()
            self._inject_released(delivered, sub_prompt)
        return bool(self._injected)

    def _inject_released(self, delivered: DeliveredSet, sub_prompt: str) -> None:
        released = delivered.take_released()
        if not released:
            return
        if not delivered:
            message = "task %s: what the cursor covers isn't what the service shows: %d events may come again"
            _log.warning(message, self.task_id, len(released))
        self._injected = deque(chain(((event, sub_prompt, name) for name, event in released), self._injected or ()))

    @property
    def cursor(self) -> str:
        return write_cursor(self.task_id, self.delivered.position(self.prompt_id))

    @property
    def final_text(self) -> str:
        """The last text, unless it was said before a tool call: then it is no answer (contract §4.8)."""
        return self._text.last_block if self.tail.has_final_text else ""

    def has_final_result(self, final_result: str) -> bool:
        """Whether the text after the last call holds the final result, white space aside, or all the text ends so."""
        return _squeeze(final_result) in self.tail.final_text or self.ends_with(final_result)

    def ends_with(self, final_result: str) -> bool:
        """Whether the text ends with the final result, white space aside; False for an empty one."""
        end = _squeeze(final_result)
        # A replay may have been cut short since, and a stream that resumes hasn't all the text itself.
        return bool(end) and (self.tail.final_text.endswith(end) or _squeeze(self._text.text).endswith(end))

    def result(self, done: Done | None = None) -> TaskResult:
        return TaskResult(
            task_id=self.task_id,
            status=task_status(done.status) if done else None,
            final_result=done.final_result if done else "",
            text=self._text.text,
            events_seen=self.events_seen,
        )
