"""Following one turn of a task to its end: connecting, reading and bearing failures, without the public face.

`intake` gives out what has come; `advance` makes one step to get more: connect, read, wait, or look up what an odd
end means. Every step leaves a state that the next one can go on from, so a cancelled step loses nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rebyte_async._retry import backoff, is_transient
from rebyte_async.errors import (
    APIError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    TransportError,
)
from rebyte_async.streams._connection import Connection
from rebyte_async.streams._ending import PAUSE, Ending
from rebyte_async.streams._intake import Intake
from rebyte_async.streams._subprompts import SubPrompts

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from rebyte_async.streams._cursor import Place
    from rebyte_async.streams._source import TurnSource
    from rebyte_async.types.events import Done
    from rebyte_async.types.tasks import TaskResult

__all__ = ["Follower"]

_log = logging.getLogger("rebyte_async")
_DRAIN_SILENCE = 5.0
"""Seconds of silence that end a try to read the tail of a turn: a replay comes at once."""
_MAX_IDLE = 2
"""Silent periods in a row, nothing new between them, after which a stream is given up."""


class Follower:
    """The state of following a turn."""

    __slots__ = (
        "_before",
        "_connection",
        "_ending",
        "_failures",
        "_heard",
        "_idle",
        "_news",
        "_not_found_grace_until",
        "_steady",
        "intake",
    )

    def __init__(
        self,
        source: TurnSource,
        place: Place,
        *,
        idle_timeout: float,
        follow_subprompts: bool,
        not_found_grace_until: float,
    ) -> None:
        self._connection = Connection(source, idle_timeout)
        subs = SubPrompts(source) if follow_subprompts else None
        self.intake = Intake(self._connection, place, subs)
        """What has come."""
        self._ending: Ending | None = None  # from the first sign of an end on
        self._not_found_grace_until = not_found_grace_until
        # Of this connection:
        self._before = 0  # how many events had been given out when it was made
        self._steady = False  # whether it brings something, and nothing is to be done but to read it
        self._heard = 0.0  # when it was made or brought an event; near the end alone
        # In a row, without a new event between them:
        self._news = 0  # how many events had been given out when these began
        self._failures = self._idle = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is an open connection."""
        return self._connection.is_open

    @property
    def reconnects(self) -> int:
        """Connects after the first."""
        return max(0, self._connection.connects - 1)

    @property
    def done(self) -> Done | None:
        """The end of the turn, once it has been reached."""
        return None if self._ending is None else self._ending.done

    @property
    def has_more(self) -> bool:
        """Whether there is something to look at before the next step: what has come, or the end."""
        return bool(self._connection.frames) or self.intake.has_more or self.done is not None

    @property
    def result(self) -> TaskResult:
        """What there is of the turn."""
        return self.intake.result(self.done)

    def close(self) -> None:
        """Close the connection. What has come and was not given out is left out of the cursor too."""
        self._connection.close()

    def receive(self) -> Coroutine[Any, Any, bool] | None:
        """Read more, where there is nothing else to do.

        Returns:
            To be awaited: whether something came. Else, and where it is None, a step of `advance` is due, also where
            reading failed: it fails again there.

        Raises:
            EventTooLargeError: An event is larger than the parser takes.
        """
        intake = self.intake
        if self._steady and intake.reported is None and not intake.unsorted:
            return self._connection.receive()
        return None

    async def advance(self) -> None:
        """Make one step towards the next event or the end.

        Raises:
            StreamInterruptedError: The stream is given up.
            APIError: The server refuses for good.
            EventTooLargeError: An event is larger than the parser takes.
        """
        self._steady = False
        await self._connection.rest()
        if self.intake.events_seen > self._news:
            self._news = self.intake.events_seen
            self._failures = self._idle = 0
            if self._ending is not None:
                self._ending.news()
        try:
            await self._step()
        except StreamInterruptedError:
            raise
        except (TransportError, APIError) as error:
            failure = error
        else:
            return
        await self._recover(failure)

    async def _step(self) -> None:
        if self.intake.reported is not None or self.intake.unsorted:
            self._end()
        if self._ending is not None and await self._ending.step():
            return
        if self._connection.is_open:
            await self._read()
        else:
            await self._connect()

    def _end(self) -> Ending:
        """What is known of the turn's end, of which there is a sign now."""
        if self._ending is None:
            self._ending = Ending(self._connection, self.intake)
        return self._ending

    @property
    def _is_near_end(self) -> bool:
        return self._ending is not None and self._ending.is_near

    # --- Connecting and reading ----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._before = self.intake.events_seen
        self.intake.restart()
        if self._is_near_end:
            self._heard = self._connection.source.time.clock()
        try:
            await self._connection.open(whole=self.intake.seen.has_nameless)
        except RequestTimeoutError as error:
            await self._silent(error)

    async def _read(self) -> None:
        try:
            more = await self._connection.read(self._limit())
        except RequestTimeoutError as error:
            await self._silent(error)
            return
        self._steady = more is True and not self._is_near_end and self.intake.subs is None
        if more is False:
            await self._end().closed(had_news=self._has_news)
        elif more is None and self._is_near_end:
            await self._end().drained()
        elif more is None and self.intake.subs is not None:
            await self._read_subprompts(self.intake.subs)

    def _limit(self) -> float | None:
        """Seconds to wait for the stream before something else is due; None where nothing is."""
        if self._is_near_end:
            now = self._connection.source.time.clock()
            if self.intake.stirred:
                self._heard, self.intake.stirred = now, False
            return max(0.0, self._heard + _DRAIN_SILENCE - now)
        return None if self.intake.subs is None else self.intake.subs.due_in()

    async def _read_subprompts(self, subs: SubPrompts) -> None:
        try:
            self.intake.bring(await subs.read())
        except (TransportError, ServerError, RateLimitedError) as error:
            _log.debug("the sub-prompts of task %s: %s; the next read comes", self._connection.source.task_id, error)

    @property
    def _has_news(self) -> bool:
        """Whether this connection has brought a new event."""
        return self.intake.events_seen > self._before

    # --- Bearing failures ----------------------------------------------------------------------------------------

    async def _recover(self, error: APIError | TransportError) -> None:
        """Go on after a failure, or raise it, or give up."""
        self._connection.close()
        passes = not isinstance(error, APIError) or is_transient(self._connection.source.retry, error)
        if isinstance(error, NotFoundError) and self._connection.source.time.clock() < self._not_found_grace_until:
            await self._connection.wait(PAUSE)
        elif self._ending is not None and self._ending.is_draining:
            await self._ending.again(failed=passes)
        elif not passes:
            raise error
        else:
            await self._failed(error)

    async def _failed(self, error: APIError | TransportError) -> None:
        policy = self._connection.source.retry
        self._failures = 0 if self._has_news else self._failures + 1
        self._before = self.intake.events_seen
        if self._failures >= policy.max_attempts:
            why = f"{self._failures} connections in a row brought nothing new; the last: {error}"
            raise self.intake.interrupted(why) from error
        asked = (isinstance(error, APIError) and error.retry_after) or 0.0
        wished = min((self._connection.retry or 0) / 1000, policy.max_delay)
        jittered = backoff(policy, max(1, self._failures), self._connection.source.time.rng)
        await self._connection.wait(max(asked, wished, jittered))

    async def _silent(self, error: RequestTimeoutError) -> None:
        """Nothing came for the idle timeout: look at the task and connect again, once."""
        self._connection.close()
        if self._is_near_end:
            await self._end().drained()
            return
        self._idle += 1
        if self._idle >= _MAX_IDLE:
            raise self.intake.interrupted(f"silent for {_MAX_IDLE} idle timeouts in a row") from error
        self._end().in_doubt = True
