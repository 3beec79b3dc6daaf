"""Clients for tests."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from attrs import Factory, define, field

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async._clock import Time

__all__ = ["KEY", "QUICK", "SkippedTime", "client_of"]

KEY = "rbk_test_0123456789"
QUICK = RetryPolicy(base_delay=0.001, max_delay=0.01)


def client_of(url: str, **options: Any) -> AsyncRebyte:
    """A client that retries as often as usual, but hardly waits."""
    options.setdefault("retry", QUICK)
    return AsyncRebyte(KEY, base_url=url, **options)


@define
class SkippedTime:
    """A clock whose sleeps take no time: they move the clock on instead.

    skipped = SkippedTime()
    client_of(url, _time=skipped.time)
    """

    slept: list[float] = field(factory=list[float], init=False)
    """The seconds of every sleep, in order."""
    time: Time = field(default=Factory(lambda self: Time(self.clock, self.sleep), takes_self=True), init=False)
    """What a client is given."""

    def clock(self) -> float:
        """Return the time, all sleeps included."""
        return time.monotonic() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Record a sleep and return at once."""
        self.slept.append(seconds)
        await asyncio.sleep(0)
