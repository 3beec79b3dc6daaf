"""Time as an argument (the clock, the sleep and the random numbers), growing intervals, and times as datetimes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from random import Random

from attrs import field, frozen


@frozen
class Time:
    """Everything in the package that depends on time or chance, so that a test can replace it.

        skipped = Time(clock=lambda: 0.0, sleep=record, rng=Random(1))

    Give only the parts to replace: the others are this machine's own.
    """

    clock: Callable[[], float] = time.monotonic
    """Return seconds on a clock that never goes back; only differences mean anything."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Wait for a number of seconds."""
    rng: Random = field(factory=Random, repr=False)
    """Random numbers for jitter; not for secrets."""
    wall: Callable[[], float] = time.time
    """Return unix seconds by this machine's clock, which may be wrong and may jump."""


def intervals(first: float, *, factor: float, longest: float) -> Iterator[float]:
    """Yield the seconds to wait between reads: `first`, however long, then `factor` times as much, up to `longest`."""
    seconds = first
    while True:
        yield seconds
        seconds = min(longest, seconds * factor)


def to_datetime(value: datetime | str | None) -> datetime | None:
    """Convert a time of a response to an aware datetime, in UTC where no zone is named.

    A time that is absent or can't be read becomes None: a response must not fail because of a date.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
