"""Faults of event streams: they end early, stall, lack frames, repeat frames, or number them differently."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from aiohttp import web  # noqa: TC002 - the annotations of what is public are evaluated at run time
from attrs import define, evolve, field, frozen

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import Respond
from rebyte_async.emulator.faults.registry import STREAMS, Match
from rebyte_async.emulator.frames import ByteSink, CutManner, CutOff, Done, Event, Frame, FrameSink, Raw


@frozen
class Cut:
    """A stream ends after a number of events."""

    events: int = 1
    """How many events are sent; if the turn has fewer, the stream ends in place of `done`."""
    manner: CutManner = "reset"
    """`reset`: the connection is reset; `eof`: it is closed in the middle of the body; `clean`: the body ends as if it
    were whole."""

    def frames(self, sink: FrameSink) -> FrameSink:
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

    def chunks(self, sink: ByteSink) -> ByteSink:
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

    def frames(self, sink: FrameSink) -> FrameSink:
        return Cut(sys.maxsize, self.manner).frames(sink)


@frozen
class Silence:
    """A stream stalls with its connection open: no bytes come, not even heartbeats."""

    after: int = 0
    """How many events are sent before it stalls."""
    seconds: float | None = None
    """How many seconds it stalls; None until the client disconnects."""

    def frames(self, sink: FrameSink) -> FrameSink:
        return _at_event(sink, self.after, self._stall)

    async def _stall(self) -> None:
        if self.seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.seconds)


@frozen
class Split:
    """The bytes of a stream or of a download are sent a few at a time, split anywhere."""

    size: int = 1
    """The size of a piece, in bytes."""
    seed: int | None = field(default=None, kw_only=True)
    """Seeds random sizes from 1 to `size`; None sends pieces of equal size."""

    def chunks(self, sink: ByteSink) -> ByteSink:
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
        exchange.looks_empty = True
        return await respond()


@frozen
class EarlyDone:
    """A stream lacks its last events: `done`, and the end of the task, can be read before they can."""

    tail: int = 1
    """How many events are missing."""
    final_result: bool = True
    """Whether `done` has the final result, or an empty one."""

    def frames(self, sink: FrameSink) -> FrameSink:
        held: deque[Frame] = deque()
        last_seq = -1

        async def send(frame: Frame) -> None:
            nonlocal last_seq
            if isinstance(frame, Done):
                final_result = frame.data["finalResult"] if self.final_result else ""
                data = {**frame.data, "lastSeq": last_seq, "finalResult": final_result}
                await sink(evolve(frame, data=data))
                return
            held.append(frame)
            if len(held) > self.tail:
                oldest = held.popleft()
                last_seq = oldest.seq if isinstance(oldest, Event) else last_seq
                await sink(oldest)

        return send


@frozen
class ReplayPrevious:
    """A stream still replays the turn before the latest, if there was one."""

    where: ClassVar[Match] = STREAMS

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        exchange.turns_back = 1
        return await respond()


@frozen
class Noise:
    """Bytes that don't belong there come between two frames of a stream."""

    data: bytes = b"event: event\ndata: {not json\n\n"
    """The bytes, which are sent as they are."""
    after: int = 0
    """How many events are sent before them."""

    def frames(self, sink: FrameSink) -> FrameSink:
        return _at_event(sink, self.after, partial(sink, Raw(self.data)))


@frozen
class Duplicate:
    """Every event of a stream is sent more than once."""

    copies: int = 2
    """How often each is sent."""

    def frames(self, sink: FrameSink) -> FrameSink:
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

    def frames(self, sink: FrameSink) -> FrameSink:
        return _Shifter(sink, self.at, self.by, None)


@frozen
class LateRow:
    """A stream has one more event in its middle, and the numbers of the events after it are larger by one."""

    at: int = 1
    """The event that the new one comes before, counted from 0."""
    event_type: str = "text"
    """The new event's type."""
    payload: Mapping[str, Any] = field(factory=lambda: {"content": "late"}, hash=False)
    """The new event's payload."""

    def frames(self, sink: FrameSink) -> FrameSink:
        return _Shifter(sink, self.at, 1, self)


def _at_event(sink: FrameSink, events_before: int, act: Callable[[], Awaitable[None]]) -> FrameSink:
    """Pass all frames on, and act once, before the first frame that comes after a number of events."""
    left = events_before

    async def send(frame: Frame) -> None:
        nonlocal left
        if left == 0:
            left = -1
            await act()
        await sink(frame)
        left -= isinstance(frame, Event) and left > 0

    return send


@define
class _Shifter:
    """Shifts the numbers of all events but the first ones, and sends a new event before the first shifted one."""

    sink: FrameSink
    events_before: int
    by: int
    row: LateRow | None

    async def __call__(self, frame: Frame) -> None:
        if isinstance(frame, Event) and self.events_before > 0:
            self.events_before -= 1
        elif isinstance(frame, Event):
            if self.row is not None:
                data = {**frame.data, "eventType": self.row.event_type, "payload": dict(self.row.payload)}
                if "eventKey" in data:
                    data["eventKey"] = f"{data['promptId']}:late-{frame.seq}"
                self.row = None
                await self.sink(Event(data))
            frame = Event({**frame.data, "seq": frame.seq + self.by})
        elif isinstance(frame, Done) and self.events_before <= 0:
            frame = evolve(frame, data={**frame.data, "lastSeq": frame.data["lastSeq"] + self.by})
        await self.sink(frame)
