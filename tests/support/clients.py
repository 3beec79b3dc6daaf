"""Clients for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from attrs import Factory, define, field
from yarl import URL

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts
from rebyte_async._clock import Time
from rebyte_async._transport import ServerClock, SessionPool, Transport

__all__ = ["KEY", "QUICK", "SkippedTime", "client_of", "server_clock_of", "transport_of"]

KEY = "rbk_test_0123456789"
QUICK = RetryPolicy(base_delay=0.001, max_delay=0.01)


def client_of(url: str, **options: Any) -> AsyncRebyte:
    """Return a client that retries as often as usual, but hardly waits."""
    options.setdefault("retry", QUICK)
    return AsyncRebyte(KEY, base_url=url, **options)


def server_clock_of(owner: AsyncRebyte) -> ServerClock:
    """Return a client's estimate of the server's time, which no public call shows."""
    return owner._transport.server_clock  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def transport_of(url: str, **options: Any) -> AsyncGenerator[Transport, None]:
    """Open a transport without a client, for tests of its parts."""
    defaults: dict[str, Any] = {"timeouts": Timeouts(), "retry": QUICK, "sessions": SessionPool(), "time": Time()}
    transport = Transport(base_url=URL(url), api_key=KEY, **(defaults | options))
    yield transport
    await transport.sessions.close()


@define
class SkippedTime:
    """A clock whose sleeps take no time: they move the clock on instead.

    skipped = SkippedTime()
    client_of(url, _time=skipped.time)
    """

    slept: list[float] = field(factory=list[float], init=False)
    """The seconds of every sleep, in order."""
    time: Time = field(default=Factory(lambda self: Time(self.clock, self.sleep), takes_self=True), init=False)
    """The `Time` that a client is given."""

    def clock(self) -> float:
        """Return the time, all sleeps included."""
        return time.monotonic() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Record a sleep and return at once."""
        self.slept.append(seconds)
        await asyncio.sleep(0)
