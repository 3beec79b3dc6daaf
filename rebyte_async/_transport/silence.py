"""How long a body may bring nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from aiohttp import StreamReader

__all__ = ["Silence"]


@define(eq=False)
class Silence:
    """Ends a body that brings nothing for too long.

    aiohttp's own read timeout makes a new timer whenever something comes, which costs more than parsing an event. This
    one only notes the time, and looks at it when its one timer is due.
    """

    _content: StreamReader
    _seconds: float
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _heard: float = field(init=False)
    _taken: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._seconds, self._due)

    def broken(self, count: int) -> None:
        """Note that so many bytes were read."""
        self._taken += count
        self._heard = self._loop.time()

    def stop(self) -> None:
        """Let it be silent from here on."""
        self._timer.cancel()

    def _due(self) -> None:
        from aiohttp import SocketTimeoutError  # noqa: PLC0415 - imported on first use

        if self._content.is_eof():
            return
        if self._content.total_bytes > self._taken:  # what is unread is no silence of the server's
            self._heard = self._loop.time()
        deadline = self._heard + self._seconds
        if deadline > self._loop.time():
            self._timer = self._loop.call_at(deadline, self._due)
        else:
            self._content.set_exception(SocketTimeoutError("nothing came for too long"))
