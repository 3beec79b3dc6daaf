"""Streams that come in small pieces."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async.emulator.faults.match import STREAMS, Match

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from rebyte_async.emulator.stream.sinks import ByteSink

__all__ = ["Split"]


@frozen
class Split:
    """The bytes of a stream are sent a few at a time, and cut anywhere."""

    size: int = 1
    """The size of a piece, in bytes."""
    seed: int | None = field(default=None, kw_only=True)
    """Where the chance of random sizes begins, from 1 to `size`; None for pieces that are all of the same size."""

    where: ClassVar[Match] = STREAMS

    def chunks(self, sink: ByteSink) -> ByteSink:
        """Send in pieces."""
        sizes = self._sizes()

        async def split(data: bytes) -> None:
            start = 0
            while start < len(data):
                end = start + next(sizes)
                await sink(data[start:end])
                await asyncio.sleep(0)
                start = end

        return split

    def _sizes(self) -> Iterator[int]:
        chance = None if self.seed is None else random.Random(self.seed)  # noqa: S311 - no secret, but repeatable
        while True:
            yield self.size if chance is None else chance.randint(1, self.size)
