"""Events for `async for`: a bounded number, whether anybody reads them or not."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rebyte_async.webhooks.event import WebhookEvent

__all__ = ["Inbox"]

_log = logging.getLogger("rebyte_async.webhooks")

_MOST_BYTES = 16 * 1024 * 1024
"""How large the bodies of the events that are kept may be together."""


@define(eq=False)
class Inbox:
    """The latest events that nobody has read. Several readers share them out."""

    limit: int
    """How many are kept, as far as they aren't too large together; the oldest go first."""
    dropped: int = field(default=0, init=False)
    """How many went unread while there was a reader."""
    _events: deque[tuple[WebhookEvent, int]] = field(factory=deque["tuple[WebhookEvent, int]"], init=False)
    """The events, and how large the body of each was."""
    _size: int = field(default=0, init=False)
    _readers: set[asyncio.Future[None]] = field(factory=set["asyncio.Future[None]"], init=False)
    _has_reader: bool = field(default=False, init=False)
    _is_closed: bool = field(default=False, init=False)

    def put(self, event: WebhookEvent, size: int) -> None:
        """Keep an event, whose body was so large: the latest one is always kept."""
        while self._events and (len(self._events) >= self.limit or self._size + size > _MOST_BYTES):
            self._take()
            self._drop()
        self._events.append((event, size))
        self._size += size
        self._wake()

    def reader(self) -> AsyncIterator[WebhookEvent]:
        """Begin to read."""
        self._has_reader = True
        return _Reader(self)

    def open(self) -> None:
        """Have new readers wait for events again."""
        self._is_closed = False

    def close(self) -> None:
        """Let readers end when they have read what there is."""
        self._is_closed = True
        self._wake()

    async def next(self) -> WebhookEvent | None:
        """The oldest event, when there is one; None at the end."""
        while not self._events:
            if self._is_closed:
                return None
            await self._changed()
        return self._take()

    def _take(self) -> WebhookEvent:
        event, size = self._events.popleft()
        self._size -= size
        return event

    def _drop(self) -> None:
        if not self._has_reader:
            return  # an application with handlers alone misses nothing
        if not self.dropped:
            most = (self.limit, _MOST_BYTES)
            _log.warning("a reader of webhook events is too slow: the oldest go (kept: %d events, %d bytes)", *most)
        self.dropped += 1

    async def _changed(self) -> None:
        reader = asyncio.get_running_loop().create_future()
        self._readers.add(reader)
        try:
            await reader
        finally:
            self._readers.discard(reader)

    def _wake(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)


@define(eq=False)
class _Reader:
    """Reads an inbox."""

    _inbox: Inbox

    def __aiter__(self) -> AsyncIterator[WebhookEvent]:
        return self

    async def __anext__(self) -> WebhookEvent:
        event = await self._inbox.next()
        if event is None:
            raise StopAsyncIteration
        return event
