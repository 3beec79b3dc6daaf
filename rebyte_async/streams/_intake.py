"""What has come of a turn: frames in, new events out. No clock, no socket.

An `Intake` knows which events are the turn's, which of them are new, and what they say of its end; it never decides.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from rebyte_async._wire import json
from rebyte_async._wire.events import decode_done, decode_event, event_from_mapping
from rebyte_async.errors import DecodeError, StreamInterruptedError
from rebyte_async.streams._connection import NO_FRAMES, Connection
from rebyte_async.streams._cursor import Place, write_cursor
from rebyte_async.streams._text import TextAssembler
from rebyte_async.streams._turn import Turn
from rebyte_async.types.events import ToolResultEvent, ToolUseEvent
from rebyte_async.types.statuses import task_status
from rebyte_async.types.tasks import TaskResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rebyte_async.streams._subprompts import SubPrompts
    from rebyte_async.types.events import Done, TaskEvent

__all__ = ["Intake"]

_UNNAMED = "message"
_DELEGATING = (ToolUseEvent, ToolResultEvent)
_NONE: frozenset[str] = frozenset()


class Intake:
    """The events of a turn as they come, whatever connection or read they come by."""

    __slots__ = (
        "_announced",
        "_connection",
        "_ready",
        "_words",
        "brought",
        "events_seen",
        "other",
        "passed_over",
        "piece",
        "prompt_id",
        "reported",
        "seen",
        "stirred",
        "subs",
        "turn",
        "unsorted",
    )

    def __init__(self, connection: Connection, place: Place, subs: SubPrompts | None) -> None:
        self._connection = connection
        self.prompt_id = place.prompt_id
        """The turn, as soon as it is known."""
        self.seen = place.seen
        """Which of its events were given out."""
        self.subs = subs
        """The turn's delegations, where they are followed."""
        self.turn = Turn()
        """What the events tell of the turn's end."""
        self._words = TextAssembler()
        self._ready: deque[tuple[TaskEvent, str]] | None = None  # from elsewhere than the stream, with their sub-prompt
        self._announced = _NONE  # the sub-prompts that the turn's tool calls speak of
        self.piece = ""
        """What the last event added to the text."""
        self.events_seen = 0
        """How many events were given out."""
        self.stirred = False
        """Set with each event of the turn, new or replayed."""
        self.restart()

    def restart(self) -> None:
        """Expect the turn from its first event, on a new connection."""
        self.brought = False
        """Whether this connection has brought an event of the turn, new or replayed."""
        self.other: str | None = None
        """Another turn that it shows."""
        self.unsorted = False
        """Whether it is open if that one is earlier or later than ours. No event is given out until it is settled."""
        self.passed_over = _NONE
        """What it shows that isn't ours and may be skipped."""
        self.reported: Done | None = None
        """Its done frame, behind which no event is given out."""
        self.seen.restart()
        self.turn.restart()

    @property
    def has_more(self) -> bool:
        """Whether events wait that came from elsewhere than the stream."""
        return bool(self._ready)

    def next_event(self) -> TaskEvent | None:
        """The next new event out of what has come, or None when more must be got.

        Raises:
            DecodeError: A frame is no JSON object with an event type.
        """
        while self._ready:
            event, sub_prompt = self._ready.popleft()
            if self._take(event, sub_prompt, aside=True):
                return event
        frames = self._connection.frames
        while frames and self.reported is None and not self.unsorted:
            name, data, _ = frames.pop()
            found = decode_event(data) if name == "event" else self._other_frame(name, data)
            if found is None:
                continue
            owner = "" if found.prompt_id == self.prompt_id else self._owner(found)
            if owner is not None and self._take(found, owner):
                if not frames:  # of a waiting stream nothing is kept
                    self._connection.frames = NO_FRAMES
                return found
        return None

    def _other_frame(self, name: str, data: str) -> TaskEvent | None:
        """The event of a frame that isn't named so, if it is one; a `done` is noted."""
        if name == "done":
            self.reported = decode_done(data)
            return None
        return _odd_event(name, data)

    def _owner(self, event: TaskEvent) -> str | None:
        """What an event that doesn't name our turn belongs to: a sub-prompt, the turn after all (""), or neither."""
        prompt_id = event.prompt_id
        if prompt_id is None:
            return ""
        if self.prompt_id is None:
            self.prompt_id = prompt_id
            return ""
        if prompt_id in self._announced:
            return prompt_id
        self.other = prompt_id
        self.unsorted = prompt_id not in self.passed_over
        return None

    def _take(self, event: TaskEvent, sub_prompt: str, aside: bool = False) -> bool:
        """Note an event of the turn, or of a sub-prompt of it; whether it is new."""
        is_new = self.seen.add(event, sub_prompt, aside)
        self.stirred = True
        if not sub_prompt:
            self.brought = True
            self.turn.observe(event, is_new)
        if isinstance(event, _DELEGATING):  # replayed ones too: behind a cursor nobody else knows of them
            self._note_delegation(event)
        if is_new:
            self.events_seen += 1
            self.piece = "" if sub_prompt else self._words.feed(event)
        return is_new

    def _note_delegation(self, event: ToolUseEvent | ToolResultEvent) -> None:
        if event.sub_prompt_id is not None:
            self._announced |= {event.sub_prompt_id}
        if self.subs is not None:
            self.subs.note(event)

    def bring(self, events: Iterable[tuple[TaskEvent, str]]) -> None:
        """Have events given out that come from elsewhere than the stream: all that there are, from the first.

        Args:
            events: The events, each with its sub-prompt, or nothing for the turn itself.
        """
        self.seen.restart(aside=True)
        self._ready = deque(chain(self._ready or (), events))

    @property
    def cursor(self) -> str:
        """The place after the last event that was given out."""
        return write_cursor(self._connection.source.task_id, Place(self.prompt_id, self.seen))

    @property
    def last_block(self) -> str:
        """The last block of the text."""
        return self._words.last_block

    def result(self, done: Done | None = None) -> TaskResult:
        """What there is of the turn."""
        return TaskResult(
            task_id=self._connection.source.task_id,
            status=task_status(done.status) if done else None,
            final_result=done.final_result if done else "",
            text=self._words.text,
            events_seen=self.events_seen,
        )

    def interrupted(self, why: str) -> StreamInterruptedError:
        """The error of a stream that is given up."""
        return StreamInterruptedError(
            f"the stream of task {self._connection.source.task_id} was given up before its end: {why}",
            task_id=self._connection.source.task_id,
            cursor=self.cursor if self.seen else None,
            result=self.result(),
            attempts=self._connection.connects,
        )


def _odd_event(name: str, data: str) -> TaskEvent | None:
    """Read a frame of another name. One with a name of its own, such as a ping, needn't be an event (unknown)."""
    try:
        return decode_event(data)
    except DecodeError:
        if name == _UNNAMED:
            raise
    if name != "error":
        return None
    try:
        payload = json.loads(data)
    except ValueError:
        payload = data
    if not isinstance(payload, dict):
        payload = {"message": str(payload)}
    return event_from_mapping({"eventType": "error", "payload": payload})
