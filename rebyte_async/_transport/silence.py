"""How long a body may bring nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from aiohttp import StreamReader

__all__ = ["Silence"]

_LOOKS = 8
"""How often it is looked, in the time of a silence that is too long."""


@define(eq=False)
class Silence:
    """Ends a body that brings nothing for too long: for the given time, and up to an eighth more.

    aiohttp's own read timeout makes a new timer whenever something comes, which costs more than parsing an event. This
    one looks now and then if anything has come.
    """

    _content: StreamReader
    _seconds: float
    taken: int = field(default=0, init=False)
    """How many bytes were read: what is unread is no silence of the server's."""
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _came: int = field(default=-1, init=False)
    _since: float = field(default=0.0, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._look()

    def stop(self) -> None:
        """Let it be silent from here on."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._content.is_eof():
            return
        now, came = self._loop.time(), self._content.total_bytes
        if came > self._came or came > self.taken:
            self._came, self._since = came, now
        deadline = self._since + self._seconds
        if now < deadline:
            self._timer = self._loop.call_at(min(now + self._seconds / _LOOKS, deadline), self._look)
            return
        from aiohttp import SocketTimeoutError  # noqa: PLC0415 - imported on first use

        self._content.set_exception(SocketTimeoutError("nothing came for too long"))
