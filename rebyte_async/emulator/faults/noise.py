"""Streams with something in them that doesn't belong there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match
from rebyte_async.emulator.stream.frames import Event, Raw

if TYPE_CHECKING:
    from typing import ClassVar

    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import FrameSink

__all__ = ["Duplicate", "Noise"]


@frozen
class Noise:
    """Bytes between two frames of a stream."""

    data: bytes = b"event: event\ndata: {not json\n\n"
    """The bytes, as they are sent."""
    after: int = 0
    """After how many events they come."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Send the bytes in between."""
        return _NoiseAt(sink, Raw(self.data), self.after)


@frozen
class Duplicate:
    """Every event of a stream is sent more than once."""

    copies: int = 2
    """How often."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Send events again."""

        async def repeat(frame: Frame) -> None:
            for _ in range(self.copies if isinstance(frame, Event) else 1):
                await sink(frame)

        return repeat


@define
class _NoiseAt:
    sink: FrameSink
    noise: Raw
    left: int

    async def __call__(self, frame: Frame) -> None:
        if self.left == 0:
            await self.sink(self.noise)
        self.left -= isinstance(frame, Event) or self.left == 0
        await self.sink(frame)
