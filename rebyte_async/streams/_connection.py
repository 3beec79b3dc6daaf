"""The connections of a stream, one after the other: bytes to frames."""

from __future__ import annotations

import asyncio
from enum import Enum

from attrs import define, field

from rebyte_async.sse import ServerSentEvent, SSEParser
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
    _parser: SSEParser = field(factory=SSEParser, init=False)
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
        return self._retry if self._parser.retry is None else self._parser.retry

    async def open(self, *, needs_replay: bool) -> None:
        """Connect, in one attempt. Raises what `TurnSource.connect` raises.

        Unless the turn must come from its start (`needs_replay`), the server is given the last id that it gave itself.
        It isn't known to resume from it (contract §4.1), and a replay does no harm.
        """
        self.connects += 1
        self._retry = self.retry
        self._last_event_id = self._parser.last_event_id or self._last_event_id
        self._parser = SSEParser()
        self._body = await self._source.connect(
            idle_timeout=self._idle_timeout,
            last_event_id="" if needs_replay else self._last_event_id,
            is_reconnect=self.connects > 1,
        )

    async def read(self, limit: float | None = None) -> list[ServerSentEvent] | ReadEnd:
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
        return self._parser.feed(data) if data else ReadEnd.BODY

    async def receive(self) -> list[ServerSentEvent] | None:
        """Do the same in the fewest steps, as for nearly every event; None where nothing came, and `read` says why."""
        body = self._body
        if body is None:
            return None
        try:
            data = await body.read_raw()
        except Exception:  # noqa: BLE001 - `read` fails again, and raises errors of ours
            return None
        if not data:
            return None
        body.mark_consumed()
        return self._parser.feed(data)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
