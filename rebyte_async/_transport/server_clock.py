"""The server's clock, read from the `Date` headers of its responses."""

from __future__ import annotations

from attrs import define, field

from rebyte_async._clock import Time


@define(eq=False, repr=False)
class ServerClock:
    """Estimates the server's time to about a second; until the first response it is this machine's own.

    Between responses it follows the monotonic clock, since this machine's wall clock may be wrong, and may jump.
    """

    _time: Time
    _last_header: str | None = field(default=None, init=False)
    _offset: float | None = field(default=None, init=False)
    """How far the server's time is ahead of the monotonic clock, in seconds."""
    _is_recalibrated: bool = field(default=False, init=False)
    """Whether the `Date` headers were shown to be wrong, and are ignored since."""

    @property
    def is_known(self) -> bool:
        """Whether a response has shown the server's time."""
        return self._offset is not None

    def note(self, header: str | None) -> None:
        """Take in the `Date` header of a response. A missing or unreadable one is ignored."""
        if header is None or header == self._last_header or self._is_recalibrated:
            return
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - a tenth of the package's import time

        self._last_header = header
        try:
            self._offset = parsedate_to_datetime(header).timestamp() - self._time.clock()
        except (ValueError, TypeError, OverflowError):
            return

    def recalibrate(self, made_at: float, sent_at: float, *, slack: float) -> None:
        """Follow the time in a body if it disagrees with this clock, and ignore `Date` headers from then on.

        A gateway may write `Date` by its own clock; the times in bodies are the service's. By one of them it made
        something at `made_at`, for which it was asked at `sent_at` by this clock; they may be `slack` seconds apart.
        """
        if sent_at - slack <= made_at <= self.now() + slack:
            return
        self._is_recalibrated = True
        self._offset = made_at - self._time.clock()

    def now(self) -> float:
        """Return unix seconds."""
        return self._time.wall() if self._offset is None else self._time.clock() + self._offset
