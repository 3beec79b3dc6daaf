"""Streams whose events have other numbers than before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match
from rebyte_async.emulator.stream.frames import Done, Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import FrameSink

__all__ = ["LateRow", "Renumber"]


@frozen
class Renumber:
    """The numbers of a stream's events are shifted from some event on."""

    by: int = 1
    """How far."""
    at: int = 0
    """From which event on, counted from 0."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Shift the numbers."""
        return _Shift(sink, self.at, self.by, None)


@frozen
class LateRow:
    """A stream has one more event in its middle, and those behind it have moved up by one."""

    at: int = 1
    """Before which event it stands, counted from 0."""
    event_type: str = "text"
    """The new event's type."""
    payload: Mapping[str, Any] = field(factory=lambda: {"content": "late"})
    """The new event's payload."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Put the event in."""
        return _Shift(sink, self.at, 1, self)


@define
class _Shift:
    sink: FrameSink
    before: int
    by: int
    row: LateRow | None

    async def __call__(self, frame: Frame) -> None:
        if isinstance(frame, Event):
            await self._event(frame)
        elif isinstance(frame, Done) and self.before <= 0:
            await self.sink(evolve(frame, data={**frame.data, "lastSeq": frame.data["lastSeq"] + self.by}))
        else:
            await self.sink(frame)

    async def _event(self, event: Event) -> None:
        if self.before > 0:
            self.before -= 1
            await self.sink(event)
            return
        if self.row is not None:
            await self.sink(_inserted(event, self.row))
            self.row = None
        await self.sink(Event({**event.data, "seq": event.seq + self.by}))


def _inserted(event: Event, row: LateRow) -> Event:
    data = {**event.data, "eventType": row.event_type, "payload": dict(row.payload)}
    if "eventKey" in data:
        data["eventKey"] = f"{data['promptId']}:late-{event.seq}"
    return Event(data)
