"""Keep the latest events for readers that use `async for`."""

from __future__ import annotations

import logging
from collections import deque
from typing import Self

from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async.webhooks.event import WebhookEvent

_log = logging.getLogger("rebyte_async.webhooks")


@define(eq=False)
class EventBuffer:
    """The latest events that were not read. Each event goes to one reader.

    Events are kept before the first reader comes, so that it misses none; only a limited number, because an application
    that has only handlers never reads them.
    """

    _max_events: int
    """The largest number of events that are kept; the oldest are dropped first."""
    _max_bytes: int
    """How large the bodies of the kept events may be together, in bytes. The latest event is always kept."""
    dropped: int = field(default=0, init=False)
    """How many events were dropped since the first reader came."""
    _events: deque[tuple[WebhookEvent, int]] = field(factory=deque["tuple[WebhookEvent, int]"], init=False)
    """The events, each with the size of its body."""
    _size: int = field(default=0, init=False)
    _changed: Signal = field(factory=Signal, init=False)
    _has_reader: bool = field(default=False, init=False)
    _is_closed: bool = field(default=False, init=False)

    def put(self, event: WebhookEvent, size: int) -> None:
        """Add an event whose body has `size` bytes."""
        while self._events and (len(self._events) >= self._max_events or self._size + size > self._max_bytes):
            self._pop()
            if self._has_reader:  # an application that only has handlers misses nothing
                self.dropped += 1
                if self.dropped == 1:
                    kept = (self._max_events, self._max_bytes)
                    _log.warning("a reader is too slow, so the oldest events go (kept: %d events, %d bytes)", *kept)
        self._events.append((event, size))
        self._size += size
        self._changed.notify()

    def __aiter__(self) -> Self:
        self._has_reader = True
        return self

    async def __anext__(self) -> WebhookEvent:
        await self._changed.wait_for(lambda: self._events or self._is_closed)
        if not self._events:
            raise StopAsyncIteration
        return self._pop()

    def open(self) -> None:
        """Let new readers wait for events again after `close`."""
        self._is_closed = False

    def close(self) -> None:
        """Let readers end once they have read the events that are kept."""
        self._is_closed = True
        self._changed.notify()

    def _pop(self) -> WebhookEvent:
        event, size = self._events.popleft()
        self._size -= size
        return event
