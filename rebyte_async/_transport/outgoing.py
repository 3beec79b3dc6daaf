"""Bodies that are sent as they are read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rebyte_async._transport.stats import Counters

__all__ = ["Body", "Outgoing", "Signed"]


class Body(Protocol):
    """Something to send: of known length, and readable from its start as often as it takes."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """Its bytes from the start."""
        ...

    def sent(self, count: int) -> None:
        """Be told how many bytes of it are on their way."""
        ...


class Signed(Protocol):
    """Something that says where to put a body, and doesn't show it: the URL carries its own authorization."""

    @property
    def upload_url(self) -> str:
        """The signed URL."""
        ...


@define(eq=False)
class Outgoing:
    """A body on its way: each block moves the deadline on, so that only silence ends it."""

    body: Body
    _counters: Counters
    _silence: float | None
    timer: asyncio.Timeout | None = field(default=None, init=False)
    """The deadline of the attempt."""
    failure: Exception | None = field(default=None, init=False)
    """What its source raised: that is the caller's affair, and no failure of the network."""

    async def blocks(self) -> AsyncIterator[bytes]:
        """The blocks for one attempt."""
        count = 0
        self._move_on()
        try:
            async for block in self.body.blocks():
                yield block
                count += len(block)
                self._counters.bytes_sent += len(block)
                self.body.sent(count)
                self._move_on()
        except Exception as error:
            self.failure = error
            raise

    def _move_on(self) -> None:
        if self.timer is not None and self._silence is not None:
            self.timer.reschedule(asyncio.get_running_loop().time() + self._silence)
