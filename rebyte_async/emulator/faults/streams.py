"""Faults of event streams: they end early, stall, lack frames, repeat frames, or number them differently."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.faults.registry import STREAMS, Match
from rebyte_async.emulator.stream.frames import CutOff, Done, Event, Raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import ClassVar

    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Respond
    from rebyte_async.emulator.stream.frames import ByteSink, CutManner, Frame, FrameSink


@frozen
class Cut:
    """A stream ends after a number of events."""

    events: int = 1
    """How many events are sent; if the turn has fewer, the stream ends in place of `done`."""
    manner: CutManner = "reset"
    """`reset`: the connection is reset; `eof`: it is closed in the middle of the body; `clean`: the body ends as if it
    were whole."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Pass some events on, then end the stream."""
        left = self.events

        async def send(frame: Frame) -> None:
            nonlocal left
            if left <= 0 or isinstance(frame, Done):
                raise CutOff(self.manner)
            await sink(frame)
            left -= isinstance(frame, Event)
            if left <= 0:
                raise CutOff(self.manner)

        return send


@frozen
class CutBytes:
    """A stream or a download ends after a number of bytes, wherever that is."""

    count: int
    """How many bytes are sent."""
    manner: CutManner = "reset"
    """How the body ends, as for `Cut`."""

    where: ClassVar[Match] = STREAMS

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Pass some bytes on, then end the body."""
        left = self.count

        async def send(data: bytes) -> None:
            nonlocal left
            await sink(data[:left])
            if len(data) >= left:
                raise CutOff(self.manner)
            left -= len(data)

        return send


@frozen
class NoDone:
    """A stream sends every event and then ends without `done`."""

    manner: CutManner = "clean"
    """How it ends, as for `Cut`."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """End the stream instead of sending the done frame."""

        async def send(frame: Frame) -> None:
            if isinstance(frame, Done):
                raise CutOff(self.manner)
            await sink(frame)

        return send


@frozen
class Silence:
    """A stream stalls with its connection open: no bytes come, not even heartbeats."""

    after: int = 0
    """How many events are sent before it stalls."""
    seconds: float | None = None
    """How many seconds it stalls; None until the client disconnects."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Stall before the next frame."""
        left = self.after

        async def send(frame: Frame) -> None:
            nonlocal left
            if left == 0:
                left = -1
                await _stall(self.seconds)
            await sink(frame)
            left -= isinstance(frame, Event) and left > 0

        return send


@frozen
class Split:
    """The bytes of a stream or of a download are sent a few at a time, split anywhere."""

    size: int = 1
    """The size of a piece, in bytes."""
    seed: int | None = field(default=None, kw_only=True)
    """Seeds random sizes from 1 to `size`; None sends pieces of equal size."""

    where: ClassVar[Match] = STREAMS

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Pass the bytes on in pieces."""
        sizes = self._sizes()

        async def send(data: bytes) -> None:
            start = 0
            while start < len(data):
                end = start + next(sizes)
                await sink(data[start:end])
                await asyncio.sleep(0)
                start = end

        return send

    def _sizes(self) -> Iterator[int]:
        chance = None if self.seed is None else random.Random(self.seed)  # noqa: S311 - no secret, but repeatable
        while True:
            yield self.size if chance is None else chance.randint(1, self.size)


@frozen
class EmptyDone:
    """A stream ends at once, as if the agent had produced no events; the turn continues all the same."""

    where: ClassVar[Match] = STREAMS

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        """Respond with an empty done frame."""
        exchange.looks_empty = True
        return await respond()


@frozen
class EarlyDone:
    """A stream lacks its last events: `done`, and the end of the task, can be read before they can."""

    tail: int = 1
    """How many events are missing."""
    final_result: bool = True
    """Whether `done` has the final result, or an empty one."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Hold the last events back."""
        return _TailHolder(sink, self)


@frozen
class ReplayPrevious:
    """A stream still replays the turn before the latest, if there was one."""

    where: ClassVar[Match] = STREAMS

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        """Respond with the previous turn."""
        exchange.turns_back = 1
        return await respond()


@frozen
class Noise:
    """Bytes that don't belong there come between two frames of a stream."""

    data: bytes = b"event: event\ndata: {not json\n\n"
    """The bytes, which are sent as they are."""
    after: int = 0
    """How many events are sent before them."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Send the bytes between two frames."""
        left = self.after

        async def send(frame: Frame) -> None:
            nonlocal left
            if left == 0:
                await sink(Raw(self.data))
            left -= isinstance(frame, Event) or left == 0
            await sink(frame)

        return send


@frozen
class Duplicate:
    """Every event of a stream is sent more than once."""

    copies: int = 2
    """How often each is sent."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Pass each event on several times."""

        async def send(frame: Frame) -> None:
            for _ in range(self.copies if isinstance(frame, Event) else 1):
                await sink(frame)

        return send


@frozen
class Renumber:
    """The sequence numbers of a stream's events are shifted, from some event on."""

    by: int = 1
    """How far they are shifted."""
    at: int = 0
    """The first event with a shifted number, counted from 0."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Shift the numbers."""
        return _Shifter(sink, self.at, self.by, None)


@frozen
class LateRow:
    """A stream has one more event in its middle, and the numbers of the events after it are larger by one."""

    at: int = 1
    """The event that the new one comes before, counted from 0."""
    event_type: str = "text"
    """The new event's type."""
    payload: Mapping[str, Any] = field(factory=lambda: {"content": "late"})
    """The new event's payload."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Insert the event."""
        return _Shifter(sink, self.at, 1, self)


async def _stall(seconds: float | None) -> None:
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


@define
class _TailHolder:
    sink: FrameSink
    fault: EarlyDone
    held: deque[Frame] = field(factory=deque["Frame"], init=False)
    last_seq: int = field(default=-1, init=False)

    async def __call__(self, frame: Frame) -> None:
        if isinstance(frame, Done):
            await self.sink(evolve(frame, data=self._early_data(frame)))
            return
        self.held.append(frame)
        if len(self.held) > self.fault.tail:
            await self._send(self.held.popleft())

    async def _send(self, frame: Frame) -> None:
        if isinstance(frame, Event):
            self.last_seq = frame.seq
        await self.sink(frame)

    def _early_data(self, done: Done) -> dict[str, object]:
        final_result = done.data["finalResult"] if self.fault.final_result else ""
        return {**done.data, "lastSeq": self.last_seq, "finalResult": final_result}


@define
class _Shifter:
    sink: FrameSink
    events_before: int
    by: int
    row: LateRow | None

    async def __call__(self, frame: Frame) -> None:
        if isinstance(frame, Event):
            await self._send_event(frame)
        elif isinstance(frame, Done) and self.events_before <= 0:
            await self.sink(evolve(frame, data={**frame.data, "lastSeq": frame.data["lastSeq"] + self.by}))
        else:
            await self.sink(frame)

    async def _send_event(self, event: Event) -> None:
        if self.events_before > 0:
            self.events_before -= 1
            await self.sink(event)
            return
        if self.row is not None:
            await self.sink(_make_late_event(event, self.row))
            self.row = None
        await self.sink(Event({**event.data, "seq": event.seq + self.by}))


def _make_late_event(event: Event, row: LateRow) -> Event:
    data = {**event.data, "eventType": row.event_type, "payload": dict(row.payload)}
    if "eventKey" in data:
        data["eventKey"] = f"{data['promptId']}:late-{event.seq}"
    return Event(data)
