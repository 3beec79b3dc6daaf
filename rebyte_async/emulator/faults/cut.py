"""Streams that end before their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match
from rebyte_async.emulator.stream.frames import Done, Event
from rebyte_async.emulator.stream.sinks import CutOff

if TYPE_CHECKING:
    from typing import ClassVar

    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import ByteSink, CutManner, FrameSink

__all__ = ["Cut", "CutBytes", "NoDone"]


@frozen
class Cut:
    """A stream ends after a number of events."""

    events: int = 1
    """How many events get through; with fewer in the turn, the stream ends in place of `done`."""
    manner: CutManner = "reset"
    """`reset`: the connection is reset; `eof`: it is closed in the middle of the body; `clean`: the body ends as if it
    were whole."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Let some events through."""
        return _EventLimit(sink, self.events, self.manner)


@frozen
class CutBytes:
    """A stream ends after a number of bytes, in the middle of whatever it may be."""

    count: int
    """How many bytes get through."""
    manner: CutManner = "reset"
    """How it ends, as for `Cut`."""

    where: ClassVar[Match] = STREAMS

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Let some bytes through."""
        return _ByteLimit(sink, self.count, self.manner)


@frozen
class NoDone:
    """A stream brings every event and then ends without `done`."""

    manner: CutManner = "clean"
    """How it ends, as for `Cut`."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Keep the last frame back."""

        async def keep_back(frame: Frame) -> None:
            if isinstance(frame, Done):
                raise CutOff(self.manner)
            await sink(frame)

        return keep_back


@define
class _EventLimit:
    sink: FrameSink
    left: int
    manner: CutManner

    async def __call__(self, frame: Frame) -> None:
        if self.left <= 0 or isinstance(frame, Done):
            raise CutOff(self.manner)
        await self.sink(frame)
        if isinstance(frame, Event):
            self.left -= 1
        if self.left <= 0:
            raise CutOff(self.manner)


@define
class _ByteLimit:
    sink: ByteSink
    left: int
    manner: CutManner

    async def __call__(self, data: bytes) -> None:
        if len(data) < self.left:
            self.left -= len(data)
            await self.sink(data)
            return
        await self.sink(data[: self.left])
        raise CutOff(self.manner)
