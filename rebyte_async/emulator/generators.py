"""Ids, tokens and times of the emulated service: real ones, or made-up ones that are the same in every run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

from attrs import define, field

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_TICK = timedelta(milliseconds=1)


@define
class IdGenerator:
    """Generates ids and tokens: random ones, or counted ones if `deterministic`."""

    deterministic: bool = False
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    def uuid(self) -> str:
        if not self.deterministic:
            return str(uuid4())
        number = next(self._numbers)
        return f"{number:08x}-0000-4000-8000-{number:012x}"

    def token(self, prefix: str) -> str:
        if not self.deterministic:
            return prefix + secrets.token_hex(12)
        return f"{prefix}{next(self._numbers):024x}"


def now() -> datetime:
    return datetime.now(UTC)


def make_clock(*, deterministic: bool) -> Callable[[], datetime]:
    """Return a real clock, or one that starts at the same instant in every run and ticks with each reading."""
    if not deterministic:
        return now
    ticks = count(1)
    return lambda: _EPOCH + next(ticks) * _TICK


def timestamp(moment: datetime) -> str:
    """Format a time as the API does: ISO 8601 in UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
