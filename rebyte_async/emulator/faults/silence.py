"""Streams that say nothing any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match
from rebyte_async.emulator.stream.frames import Event

if TYPE_CHECKING:
    from typing import ClassVar

    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import FrameSink

__all__ = ["Silence"]


@frozen
class Silence:
    """A stream stalls with its connection open: no bytes come, heartbeats neither."""

    after: int = 0
    """After how many events it stalls."""
    seconds: float | None = None
    """For how long; None until the client goes away."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Stall before the next frame."""
        return _SilenceAt(sink, self.after, self.seconds)


@define
class _SilenceAt:
    sink: FrameSink
    left: int
    seconds: float | None

    async def __call__(self, frame: Frame) -> None:
        if self.left == 0:
            self.left = -1
            await _stall(self.seconds)
        await self.sink(frame)
        self.left -= isinstance(frame, Event) and self.left > 0


async def _stall(seconds: float | None) -> None:
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)
