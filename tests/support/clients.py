"""Clients for tests."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from attrs import define, field

from rebyte_async import AsyncRebyte, RetryPolicy

__all__ = ["KEY", "QUICK", "SkippedTime", "client_of", "skipping"]

KEY = "rbk_test_0123456789"
QUICK = RetryPolicy(base_delay=0.001, max_delay=0.01)


def client_of(url: str, **options: Any) -> AsyncRebyte:
    """A client that retries as often as usual, but hardly waits."""
    options.setdefault("retry", QUICK)
    return AsyncRebyte(KEY, base_url=url, **options)


@define
class SkippedTime:
    """A clock whose sleeps take no time: they move it on instead."""

    slept: list[float] = field(factory=list[float], init=False)

    def clock(self) -> float:
        """The time."""
        return time.monotonic() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Let that much time have passed."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


def skipping(client: AsyncRebyte) -> SkippedTime:
    """Have a client skip the waits between its attempts, and tell how long they would have been."""
    skipped = SkippedTime()
    gate = client._transport.gate
    gate.clock, gate.sleep = skipped.clock, skipped.sleep
    return skipped
