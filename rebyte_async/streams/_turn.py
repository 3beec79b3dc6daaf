"""The events of one turn: frames in, new events out. No clock, no socket.

A `TurnState` knows which events are the turn's, which of them are new, and what they say about its end; it decides
nothing. What can't be decided from the frames alone stops it (`blocked_by`) until the reader has dealt with that.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain

from attrs import define, field

from rebyte_async._wire import json
from rebyte_async._wire.events import decode_done, decode_event, event_from_mapping
from rebyte_async.errors import DecodeError
from rebyte_async.streams._cursor import shorten_prompt_id, write_cursor
from rebyte_async.streams._delivered import Delivered, DeliveredSet
from rebyte_async.streams._digest import Identity
from rebyte_async.streams._frames import Frame, unpack
from rebyte_async.streams._subprompts import SubPrompts
from rebyte_async.streams._tail import TailState, squeeze
from rebyte_async.streams.text import JOINED, TextAssembler
from rebyte_async.types.events import Done, TaskEvent, TextEvent, ToolResultEvent, ToolUseEvent
from rebyte_async.types.statuses import task_status
from rebyte_async.types.tasks import TaskResult

_log = logging.getLogger("rebyte_async")
NO_FRAMES: list[Frame] = []
"""The queue of every stream that waits; never filled, so that a thousand idle streams share one list."""
_UNNAMED = "message"
_KEEP_ALIVES = ("", "{}")  # the data of a frame that is named `event` and is none
_MAX_KEEP_ALIVE = 2  # bytes of the longest of them
_EVENT_TYPE = '"eventType"'  # without it, a frame that has no name and is no event is a keep-alive
_DELEGATING = (ToolUseEvent, ToolResultEvent)
_NONE: frozenset[str] = frozenset()


def _is_event(frame: Frame) -> bool:
    name, data = unpack(frame)
    try:
        decode_event(data)
    except DecodeError:
        return False
    return name == "event"


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
    flow: Callable[[], Awaitable[bytes]] | None = field(default=None, init=False)
    """How the next bytes are read while the connection brings events and nothing else is due; None otherwise.

    The reader sets it. A done frame, another turn, events to inject, an event that is withheld, which a silence
    releases, each step of the reader, and a disconnect clear it.
    """
    frames: list[Frame] = field(default=NO_FRAMES, init=False)
    """Received and not yet decoded, the first of them last: a list is popped quickest at its end."""
    _open_deltas: tuple[list[str], list[str]] | None = field(default=None, init=False)
    """The texts that a delta continues, if the last new event was one after the last call: the turn's, and its tail's.
    """
    _deltas: int = field(default=0, init=False)  # how many of their last pieces are deltas that weren't joined yet
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
        self.frames = NO_FRAMES
        self._ignored_prompt_ids = _NONE
        self.saw_turn_event = False
        self.foreign_prompt_id = self.blocked_by = self.flow = self._open_deltas = None
        self.delivered.restart()
        self.tail.restart()

    @property
    def has_more(self) -> bool:
        return bool(self.frames or self._injected)

    def add_frames(self, frames: list[Frame]) -> None:
        """Queue frames. The list is taken over."""
        frames.reverse()
        self.frames = frames + self.frames if self.frames else frames

    def next_event(self, frames: list[Frame] = NO_FRAMES) -> TaskEvent | None:
        """Return the next new event out of what has come, or None where more must be read.

        This is the hot path: it is one function, so that an event passes few. It takes over the list of frames.
        It raises `DecodeError` for a frame that is no JSON object with an event type; the frames after it are kept.
        """
        if frames:
            frames.reverse()
            self.frames = frames + self.frames if self.frames else frames
        while True:
            if self._injected:
                event = self._take_injected(self._injected)
            elif self.frames and self.blocked_by is None:
                frame = self.frames.pop()
                if type(frame) is not bytes or len(frame) <= _MAX_KEEP_ALIVE:
                    event = self._add(self._decode_other(frame))
                else:
                    event = decode_event(frame)
                    if self._open_deltas is None or not self._continues(event, self._open_deltas):
                        event = self._add(event)
            else:
                return None
            if event is not None:
                return event

    def _take_injected(self, injected: deque[tuple[TaskEvent, str, Identity | None]]) -> TaskEvent | None:
        """Take the first event of a read apart from the stream; return it if it is new."""
        event, sub_prompt, identity = injected.popleft()
        delivered = self.delivered.of(sub_prompt)
        if identity is None:
            return self._observe(event, sub_prompt, delivered, delivered.add(event, True))
        delivered.add_identity(identity)
        return self._deliver(event, sub_prompt)

    def _add(self, event: TaskEvent | None) -> TaskEvent | None:
        """Add the event of a frame; return it if it is the turn's, or a sub-prompt's, and new."""
        if event is None or (sub_prompt := self._classify(event)) is None:
            return None
        delivered = self.delivered.of(sub_prompt) if sub_prompt else self.delivered.own
        return self._observe(event, sub_prompt, delivered, delivered.add(event))

    def _observe(
        self,
        event: TaskEvent,
        sub_prompt: str,
        delivered: DeliveredSet,
        is_new: bool,
    ) -> TaskEvent | None:
        """Take note of an event; return it if it is new, else have delivered what it shows to be new after all."""
        self._had_activity = True
        if not sub_prompt:
            self.saw_turn_event = True
            self.tail.observe(event, is_new)
        if isinstance(event, _DELEGATING):  # also a replayed one: after a resume nothing else names its sub-prompt
            self._note_delegation(event)
        if is_new:
            return self._deliver(event, sub_prompt)
        self._open_deltas = None  # a repeated call may have ended the tail
        if delivered.is_withholding:
            self.flow = None
        self._inject_released(delivered, sub_prompt)
        return None

    def _continues(self, event: TaskEvent, texts: tuple[list[str], list[str]]) -> bool:
        """Deliver an event that is plainly new and continues the deltas before it, as nearly all do; else False."""
        seq, tail = event.seq, self.tail
        if (
            type(event) is not TextEvent
            or not event.is_delta
            or event.prompt_id != self.prompt_id
            or seq is None
            or seq <= tail.last_seq
            or not self.delivered.own.add(event)
        ):
            return False
        self._had_activity = True
        self.events_seen += 1
        self.piece = text = event.text
        tail.last_seq = seq
        for pieces in texts:
            pieces.append(text)
        self._deltas += 1
        if self._deltas == JOINED:
            self._deltas = 0
            for pieces in texts:
                pieces[-JOINED:] = ["".join(pieces[-JOINED:])]
        if not self.frames:
            self.frames = NO_FRAMES
        return True

    def _deliver(self, event: TaskEvent, sub_prompt: str) -> TaskEvent:
        self.events_seen += 1
        self.piece = "" if sub_prompt else self._text.feed(event)
        self.frames = self.frames or NO_FRAMES  # a stream that waits shares the empty list
        is_delta = isinstance(event, TextEvent) and event.is_delta and not sub_prompt and self.tail.has_final_text
        self._deltas = 0
        pieces, texts = self._text.open_block, self.tail.texts
        self._open_deltas = (pieces, texts) if is_delta and pieces is not None and texts is not None else None
        return event

    def _decode_other(self, frame: Frame) -> TaskEvent | None:
        """Decode a frame that isn't named `event`, or is as short as a keep-alive: return its event, if it has one.

        GUESS(§7): an `error` frame is an error event, whatever its data. A `done` frame blocks; what comes after it on
        the connection is read as far as it is an event, and can't spoil the end.
        """
        name, data = unpack(frame)
        if name == "done":
            self.blocked_by = decode_done(data)
            self.flow = None
            self.frames = [frame for frame in self.frames if _is_event(frame)]
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
        """Return the owner of an event: our turn (""), a sub-prompt, or None for another turn."""
        prompt_id = event.prompt_id
        if prompt_id is None or prompt_id == self.prompt_id:
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
            self.flow = None
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
        self.frames = NO_FRAMES

    def take_activity(self) -> bool:
        """Return whether an event of the turn, new or replayed, was decoded since the last call."""
        had_activity, self._had_activity = self._had_activity, False
        return had_activity

    def inject(self, events: Iterable[tuple[TaskEvent, str]]) -> None:
        """Have the events of a read apart from the stream delivered, each with its sub-prompt ("" for the turn)."""
        self.delivered.restart(out_of_band=True)
        self._injected = deque(chain(self._injected or (), ((event, owner, None) for event, owner in events)))
        self.flow = self._open_deltas = None

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
        self.flow = None

    @property
    def cursor(self) -> str:
        return write_cursor(self.task_id, self.delivered.position(self.prompt_id))

    @property
    def final_text(self) -> str:
        """The last text, unless it was said before a tool call: then it is no answer (contract §4.8)."""
        return self._text.last_block if self.tail.has_final_text else ""

    def has_final_result(self, final_result: str) -> bool:
        """Whether the text after the last call holds the final result, white space aside, or all the text ends so."""
        return squeeze(final_result) in self.tail.final_text or self.ends_with(final_result)

    def ends_with(self, final_result: str) -> bool:
        """Whether the text ends with the final result, white space aside; False for an empty one."""
        end = squeeze(final_result)
        # A replay may have been cut short since, and a stream that resumes hasn't all the text itself.
        return bool(end) and (self.tail.final_text.endswith(end) or squeeze(self._text.text).endswith(end))

    def result(self, done: Done | None = None) -> TaskResult:
        return TaskResult(
            task_id=self.task_id,
            status=task_status(done.status) if done else None,
            final_result=done.final_result if done else "",
            text=self._text.text,
            events_seen=self.events_seen,
        )
