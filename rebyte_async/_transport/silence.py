"""The bodies that are open, and how long each may bring nothing."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async._transport.answer import ByteStream

__all__ = ["OpenBodies"]

_LOOKS = 16
"""How often it is looked, in the time of the shortest silence that is too long."""


@define(eq=False)
class OpenBodies:
    """Ends a body that brings nothing for too long: for the given time, and up to an eighth more.

    aiohttp's own read timeout makes a new timer whenever something comes, which costs more than parsing an event. This
    is one timer for all, which looks now and then what has come.
    """

    _bodies: dict[ByteStream, None] = field(factory=dict["ByteStream", None], init=False, repr=False)
    """A set of them; a `set` would take twice the memory."""
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def add(self, body: ByteStream) -> None:
        """Keep a body until it is discarded, and watch it if its silence has a limit."""
        self._bodies[body] = None
        if body.silence is not None:
            self._look_in(body.silence / _LOOKS)

    def discard(self, body: ByteStream) -> None:
        """Forget a body."""
        self._bodies.pop(body, None)

    def __contains__(self, body: object) -> bool:
        return body in self._bodies

    def __iter__(self) -> Iterator[ByteStream]:
        return iter(tuple(self._bodies))

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now, shortest, self._timer = loop.time(), math.inf, None
        for body in self:
            if body.silence is not None and body.is_heard(now):
                shortest = min(shortest, body.silence)
        if shortest < math.inf:
            self._look_in(shortest / _LOOKS)
