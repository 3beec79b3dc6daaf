"""The connections of a stream, one after the other: bytes to frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from attrs import define, field

from rebyte_async.streams._frames import Frame, FrameParser
from rebyte_async.streams._source import EventBody, TurnSource


class ReadEnd(Enum):
    """The end of a read that brought no bytes."""

    BODY = "the body has ended"
    LIMIT = "nothing came within the limit"


@define(eq=False, repr=False, weakref_slot=False)
class Connection:
    """At most one open connection to a task's event stream; the next one takes over what the server asked for."""

    _source: TurnSource
    _idle_timeout: float
    _body: EventBody | None = field(default=None, init=False)
    parser: FrameParser = field(factory=FrameParser, init=False)
    connects: int = field(default=0, init=False)  # how often a connect was tried
    # As reported by the parsers of earlier connections:
    _last_event_id: str = field(default="", init=False)
    _retry: int | None = field(default=None, init=False)

    @property
    def is_open(self) -> bool:
        return self._body is not None

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for, in milliseconds."""
        return self._retry if self.parser.retry is None else self.parser.retry

    @property
    def read_raw(self) -> Callable[[], Awaitable[bytes]] | None:
        """How the open body is read on the hot path; None where none is open."""
        return None if self._body is None else self._body.read_raw

    async def open(self, *, needs_replay: bool) -> None:
        """Connect, in one attempt. Raises what `TurnSource.connect` raises.

        Unless the turn must come from its start (`needs_replay`), the server is given the last id that it gave itself.
        It isn't known to resume from it (contract §4.1), and a replay does no harm.
        """
        self.connects += 1
        self._retry = self.retry
        self._last_event_id = self.parser.last_event_id or self._last_event_id
        self.parser = FrameParser()
        self._body = await self._source.connect(
            idle_timeout=self._idle_timeout,
            last_event_id="" if needs_replay else self._last_event_id,
            is_reconnect=self.connects > 1,
        )

    async def read(self, limit: float | None = None) -> list[Frame] | ReadEnd:
        """Return the frames that come next, perhaps none, or why no bytes came. Cancelling loses nothing.

        Raises `TransportError` if the connection was lost, and `EventTooLargeError`. `limit` is in seconds.
        """
        if self._body is None:
            return ReadEnd.BODY
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                data = await self._body.read()
        except TimeoutError:  # the limit, or the body's own `RequestTimeoutError`
            if not timer.expired():
                raise
            return ReadEnd.LIMIT
        return self.parser.feed_frames(data) if data else ReadEnd.BODY

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
