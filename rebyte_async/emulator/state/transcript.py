"""What an agent has said in one turn: the frames that every connect replays from the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from rebyte_async.emulator.clock import timestamp
from rebyte_async.emulator.state.sync import Broadcast
from rebyte_async.emulator.stream.frames import Comment, Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rebyte_async.emulator.stream.frames import Frame


@define(eq=False)
class Transcript:
    """The frames of one prompt, in order, and a signal for those who follow."""

    prompt_id: str
    next_seq: int
    event_keys: bool
    frames: list[Frame] = field(factory=list["Frame"], init=False)
    changed: Broadcast = field(factory=Broadcast, init=False)

    @property
    def last_seq(self) -> int:
        """The number of the newest event; -1 before there is one."""
        return next((frame.seq for frame in reversed(self.frames) if isinstance(frame, Event)), -1)

    def add(self, event_type: str, payload: Mapping[str, Any], now: datetime) -> None:
        """Write down an event."""
        data: dict[str, Any] = {"seq": self.next_seq, "timestamp": timestamp(now), "promptId": self.prompt_id}
        if self.event_keys:
            data["eventKey"] = f"{self.prompt_id}:{self.next_seq}"
        self._append(Event({**data, "eventType": event_type, "payload": dict(payload)}))
        self.next_seq += 1

    def remark(self, text: str) -> None:
        """Write down a comment, as heartbeats are."""
        self._append(Comment(text))

    def events(self) -> list[dict[str, Any]]:
        """The events as JSON objects."""
        return [frame.data for frame in self.frames if isinstance(frame, Event)]

    def _append(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.changed.fire()
