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
    _is_corrected: bool = field(default=False, init=False)
    """Whether the `Date` of answers was shown to be wrong."""

    @property
    def is_known(self) -> bool:
        """Whether the server has told its time."""
        return self._ahead is not None

    def note(self, header: str | None) -> None:
        """Take in the `Date` of an answer; one that is missing or unreadable is passed over."""
        if header is None or header == self._header or self._is_corrected:
            return
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - much to import for a program's first moment

        self._header = header
        try:
            self._ahead = parsedate_to_datetime(header).timestamp() - self._monotonic()
        except (ValueError, TypeError, OverflowError):
            return

    def correct(self, made_at: float, sent_at: float, *, slack: float) -> None:
        """Take in when the server says that it made something: another clock than `Date`'s, and the one that counts.

        Args:
            made_at: What it says.
            sent_at: This clock's time when it was asked to.
            slack: How many seconds the two may be apart. Beyond that `Date` isn't believed any more.
        """
        if sent_at - slack <= made_at <= self.now() + slack:
            return
        self._is_corrected = True
        self._ahead = made_at - self._monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.time() if self._ahead is None else self._monotonic() + self._ahead
