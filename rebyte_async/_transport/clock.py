"""The server's clock, as the `Date` of its answers tells it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServerClock"]


@define(eq=False)
class ServerClock:
    """What time it is for the server, to about a second; this machine's own time until the server has told it."""

    _monotonic: Callable[[], float] = time.monotonic
    """It goes on from the last answer: this machine's wall clock may be wrong, and may jump."""
    _header: str | None = field(default=None, init=False)
    _ahead: float | None = field(default=None, init=False)
    """How far the server's time is ahead of the monotonic clock."""

    @property
    def is_known(self) -> bool:
        """Whether the server has told its time."""
        return self._ahead is not None

    def note(self, header: str | None) -> None:
        """Take in the `Date` of an answer; one that is missing or unreadable is passed over."""
        if header is None or header == self._header:
            return
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - much to import for a program's first moment

        self._header = header
        try:
            self._ahead = parsedate_to_datetime(header).timestamp() - self._monotonic()
        except (ValueError, TypeError, OverflowError):
            return

    def now(self) -> float:
        """Unix seconds."""
        return time.time() if self._ahead is None else self._monotonic() + self._ahead
