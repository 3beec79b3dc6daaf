"""State that the calls of a client share: the pause after a 429, the retry budget, the counts that `stats` shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import asdict, define, field

from rebyte_async._clock import Time
from rebyte_async._settings import RetryPolicy
from rebyte_async.types.service import ClientStats

_REFUND = 0.2  # what a success gives back to the retry budget: one in five calls may be a retry for any length of time
_SPREAD = 0.1
"""How far apart waiters start again, as a part of the pause: a thousand that wake at once would be refused again."""
_LONGEST_SPREAD = 1.0  # the same in seconds, for long pauses


class Throttle(Protocol):
    """Holds attempts back. A batch puts its own one before the client's, which also ends when the batch does."""

    def pause(self, seconds: float) -> None: ...
    @property
    def is_open(self) -> bool: ...
    async def wait_until_open(self) -> None: ...


@define(eq=False, repr=False)
class ClientThrottle:
    """Holds every attempt of a client back after a 429."""

    _time: Time
    _paused_until: float = field(default=0.0, init=False)  # on `_time.clock`; 0 before the first pause
    listeners: list[Callable[[float], None]] = field(factory=list["Callable[[float], None]"], init=False)
    """Called with the seconds of each pause that a response of this client has asked for."""

    def pause(self, seconds: float) -> None:
        """Let no attempt start for a number of seconds; a longer pause that is on stays."""
        self.pause_quietly(seconds)
        for listener in self.listeners:
            listener(seconds)

    def pause_quietly(self, seconds: float) -> None:
        """Do the same because of what another client has met."""
        self._paused_until = max(self._paused_until, self._time.clock() + seconds)

    @property
    def is_open(self) -> bool:
        return self._paused_until <= 0 or self._paused_until <= self._time.clock()

    async def wait_until_open(self) -> None:
        """Wait until no pause is on, and a random moment longer."""
        while (remaining := self._paused_until - self._time.clock()) > 0:
            spread = self._time.rng.uniform(0, min(_LONGEST_SPREAD, remaining * _SPREAD))
            await self._time.sleep(remaining + spread)


@define(eq=False, repr=False)
class RetryBudget:
    """Counts the retries that all calls of a client spend together, so that a sick service isn't flooded with them."""

    _spent: float = field(default=0.0, init=False)

    def spend(self, policy: RetryPolicy) -> bool:
        """Pay for a retry; False if the budget of the policy is spent."""
        if self._spent + 1 > policy.budget:
            return False
        self._spent += 1
        return True

    def refund(self) -> None:
        """Give a part of a retry back, after a success."""
        self._spent = max(0.0, self._spent - _REFUND)


@define
class Counters:
    """The counts that `ClientStats` shows, as they go up and down."""

    requests: int = 0
    retries: int = 0
    reconnects: int = 0
    in_flight: int = 0
    open_streams: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def snapshot(self, open_bodies: int) -> ClientStats:
        """Return the counts, with the bytes that open bodies have received: a body is counted when it is closed."""
        return ClientStats(**(asdict(self) | {"bytes_received": self.bytes_received + open_bodies}))
