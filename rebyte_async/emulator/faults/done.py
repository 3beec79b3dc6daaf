"""Streams whose `done` comes too early."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match
from rebyte_async.emulator.stream.frames import Done, Event

if TYPE_CHECKING:
    from typing import ClassVar

    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer
    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import FrameSink

__all__ = ["EarlyDone", "EmptyDone"]


@frozen
class EmptyDone:
    """A stream that is all over at once, as if the agent had nothing to say: the turn goes on all the same."""

    where: ClassVar[Match] = STREAMS

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the empty `done`."""
        exchange.nothing_yet = True
        return await answer()


@frozen
class EarlyDone:
    """A stream lacks its last events: `done`, and the task's end, can be read before they can."""

    tail: int = 1
    """How many events are missing."""
    final_result: bool = True
    """Whether `done` knows the final result, or has an empty one."""

    where: ClassVar[Match] = STREAMS

    def frames(self, sink: FrameSink) -> FrameSink:
        """Keep the last events back."""
        return _WithoutTail(sink, self)


@define
class _WithoutTail:
    sink: FrameSink
    fault: EarlyDone
    held: deque[Frame] = field(factory=deque["Frame"], init=False)
    last_seq: int = field(default=-1, init=False)

    async def __call__(self, frame: Frame) -> None:
        if isinstance(frame, Done):
            await self.sink(evolve(frame, data=self._early(frame)))
            return
        self.held.append(frame)
        if len(self.held) > self.fault.tail:
            await self._pass(self.held.popleft())

    async def _pass(self, frame: Frame) -> None:
        if isinstance(frame, Event):
            self.last_seq = frame.seq
        await self.sink(frame)

    def _early(self, done: Done) -> dict[str, object]:
        final_result = done.data["finalResult"] if self.fault.final_result else ""
        return {**done.data, "lastSeq": self.last_seq, "finalResult": final_result}
