"""The connections of a stream, one after the other: bytes in, frames out, and the waits between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rebyte_async.sse import ServerSentEvent, SSEParser

if TYPE_CHECKING:
    from rebyte_async.streams._source import EventBody, TurnSource

__all__ = ["NO_FRAMES", "Connection"]

NO_FRAMES: list[ServerSentEvent] = []
"""The frames of all streams that wait; never filled."""


class Connection:
    """At most one open connection, and what it has brought.

    Frames stay readable after the connection is gone; a new connect starts with none.
    """

    __slots__ = (
        "_body",
        "_idle_timeout",
        "_last_event_id",
        "_parser",
        "_rest_until",
        "_retry",
        "connects",
        "frames",
        "source",
    )

    def __init__(self, source: TurnSource, idle_timeout: float) -> None:
        self.source = source
        self._idle_timeout = idle_timeout
        self._rest_until = 0.0
        self._body: EventBody | None = None
        self._parser = SSEParser()
        self._last_event_id = ""
        self.connects = 0
        """How often a connect was tried."""
        self._retry: int | None = None  # what an earlier connection's parser said, as is the id
        self.frames: list[ServerSentEvent] = NO_FRAMES
        """What was received and not yet looked at, the first of it last."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to read from."""
        return self._body is not None

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for, in milliseconds."""
        return self._retry if self._parser.retry is None else self._parser.retry

    async def open(self, *, whole: bool = False) -> None:
        """Connect, in one attempt. Raises as `TurnSource.connect`.

        Args:
            whole: Whether nothing but a replay from the start will do.
        """
        self.connects += 1
        self.frames = NO_FRAMES
        self._retry, self._last_event_id = self.retry, self._parser.last_event_id or self._last_event_id
        self._parser = SSEParser()
        # The id is the server's own; it is not known to resume from it (contract §4.1), and a replay does no harm.
        self._body = await self.source.connect(
            idle_timeout=self._idle_timeout,
            last_event_id="" if whole else self._last_event_id,
            is_reconnect=self.connects > 1,
        )

    async def receive(self) -> bool:
        """Read what comes next into `frames`, in the fewest steps: this is what a stream does for nearly every event.

        Returns:
            Whether something came. Else `read` tells the end of the body, or raises what is wrong.

        Raises:
            EventTooLargeError: An event is larger than the parser takes.
        """
        body = self._body
        if body is None:
            return False
        try:
            data = await body.coming()
        except Exception:  # noqa: BLE001 - reading fails again in `read`, which tells the kinds apart
            return False
        if data:
            body.took()
            self._feed(data)
        return bool(data)

    async def read(self, limit: float | None = None) -> bool | None:
        """Read what comes next into `frames`. Cancelling loses nothing.

        Args:
            limit: Seconds after which to come back without anything.

        Returns:
            Whether the body goes on; None when nothing came within the limit.

        Raises:
            TransportError: The connection was lost.
            EventTooLargeError: An event is larger than the parser takes.
        """
        if self._body is None:
            return False
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                data = await self._body.read()
        except TimeoutError:
            if not timer.expired():
                raise
            return None
        if data:
            self._feed(data)
        return bool(data)

    def _feed(self, data: bytes) -> None:
        frames = self._parser.feed(data)
        frames.reverse()
        self.frames = frames + self.frames if self.frames else frames

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._body is not None:
            self._body.close()
            self._body = None

    # --- Waits. One that is cancelled is waited out before the next step: impatience spends no tries. ------------

    async def wait(self, seconds: float) -> None:
        """Wait now."""
        self.rest_later(seconds)
        await self.source.time.sleep(seconds)
        self._rest_until = 0.0

    def rest_later(self, seconds: float) -> None:
        """Wait before the next step."""
        self._rest_until = self.source.time.clock() + seconds

    async def rest(self) -> None:
        """Wait for what is left."""
        if self._rest_until and (left := self._rest_until - self.source.time.clock()) > 0:
            await self.wait(left)
