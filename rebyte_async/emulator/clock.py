"""What time it is for the emulated service: real, or a made-up time that is the same in every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_TICK = timedelta(milliseconds=1)


def real_time() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


@define
class TickingClock:
    """A clock that starts at the same instant in every run and moves on by a millisecond with each reading."""

    _now: datetime = field(default=_EPOCH, init=False)

    def __call__(self) -> datetime:
        """The next instant."""
        self._now += _TICK
        return self._now


def make_clock(*, deterministic: bool) -> Callable[[], datetime]:
    """The clock that an emulator asked for."""
    return TickingClock() if deterministic else real_time


def timestamp(moment: datetime) -> str:
    """A time as the API writes it: ISO-8601 UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_or_none(moment: datetime | None) -> str | None:
    """A time as the API writes it, where there may be none yet."""
    return None if moment is None else timestamp(moment)
