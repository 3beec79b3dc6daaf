"""The bodies that are open, and how long each may bring nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async._transport.answer import ByteStream

__all__ = ["OpenBodies"]

_LOOKS = 16
"""How often it is looked, in the time of the shortest silence that is too long."""
_OFTEN = 5.0
"""Seconds between two looks at most: a body whose connection was closed behind its back is found by them alone."""


@define(eq=False)
class OpenBodies:
    """Ends a body that brings nothing for too long: for the given time, and up to an eighth more.

    Also one without a limit whose connection is gone, of which aiohttp doesn't always tell: within ten seconds.

    aiohttp's own read timeout makes a new timer whenever something comes, which costs more than parsing an event. This
    is one timer for all, which looks now and then what has come.
    """

    _bodies: dict[ByteStream, None] = field(factory=dict["ByteStream", None], init=False, repr=False)
    """A set of them; a `set` would take twice the memory."""
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def add(self, body: ByteStream) -> None:
        """Keep a body until it is discarded, and watch it."""
        self._bodies[body] = None
        self._look_within(body.silence)

    def discard(self, body: ByteStream) -> None:
        """Forget a body."""
        self._bodies.pop(body, None)

    def __contains__(self, body: object) -> bool:
        return body in self._bodies

    def __iter__(self) -> Iterator[ByteStream]:
        return iter(tuple(self._bodies))

    def _look_within(self, silence: float | None) -> None:
        loop = asyncio.get_running_loop()
        seconds = _OFTEN if silence is None else min(_OFTEN, silence / _LOOKS)
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now, self._timer = loop.time(), None
        alive = [body.silence for body in self if body.is_heard(now)]
        if alive:
            self._look_within(min((silence for silence in alive if silence is not None), default=None))
