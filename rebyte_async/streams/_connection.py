"""The connections of a stream, one after the other: bytes to frames."""

from __future__ import annotations

import asyncio
from enum import Enum

from attrs import define, field

from rebyte_async.sse import ServerSentEvent, SSEParser
from rebyte_async.streams._source import EventBody, TurnSource


class ReadEnd(Enum):
    """How a read ended that brought no bytes."""

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

        Args:
            needs_replay: Whether the turn must come from its start. Else the server is given the last id that it gave
                itself; it isn't known to resume from it (contract §4.1), and a replay does no harm.
        """
        self.connects += 1
        self._retry, self._last_event_id = self.retry, self._parser.last_event_id or self._last_event_id
        self._parser = SSEParser()
        self._body = await self._source.connect(
            idle_timeout=self._idle_timeout,
            last_event_id="" if needs_replay else self._last_event_id,
            is_reconnect=self.connects > 1,
        )

    async def receive(self) -> list[ServerSentEvent] | None:
        """Read what comes next, in the fewest steps: nearly every event of a stream comes this way.

        Returns:
            The frames that are complete now, perhaps none; None where nothing came. Then `read` says why: it returns
            at the end of the body, or raises the failure.

        Raises:
            EventTooLargeError: An event is larger than the parser takes.
        """
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

    async def read(self, limit: float | None = None) -> list[ServerSentEvent] | ReadEnd:
        """Read what comes next, for at most `limit` seconds. Cancelling loses nothing.

        Returns:
            The frames that are complete now, perhaps none; or why there are no bytes.

        Raises:
            TransportError: The connection was lost.
            EventTooLargeError: An event is larger than the parser takes.
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

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
