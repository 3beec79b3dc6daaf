"""Which requests, or which deliveries, a fault is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.emulator.exchange import Exchange

__all__ = ["DOWNLOADS", "Deliveries", "Match"]


def _compiled(pattern: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


@frozen
class Match:
    """Requests by what they ask for."""

    method: str | None = None
    """The HTTP method; None for any."""
    path: re.Pattern[str] | None = field(default=None, converter=_compiled)
    """A regular expression for the whole path below the base URL, such as `/tasks/[^/]+/events`; None for any."""
    body: re.Pattern[str] | None = field(default=None, converter=_compiled, kw_only=True)
    """A regular expression that is searched for in the body; None for any. With it, the body is read first."""
    origin: Literal["api", "storage"] | None = field(default=None, kw_only=True)
    """Which of the emulator's origins it came to; None for any."""
    also: Callable[[Exchange], bool] | None = field(default=None, kw_only=True)
    """A function that has the last word; None for none."""
    nth: int = field(default=1, kw_only=True)
    """The first request that counts, from 1: those before it are left alone."""
    probability: float = field(default=1.0, kw_only=True)
    """How likely the fault is for each request that fits, from 0 to 1."""
    per_path: bool = field(default=False, kw_only=True)
    """Whether `nth` and the number of times are counted for each path of its own, such as for each task."""

    async def fits(self, exchange: Exchange) -> bool:
        """Whether a request is of this kind."""
        if self.method not in (None, exchange.method) or self.origin not in (None, exchange.origin):
            return False
        if self.path is not None and not self.path.fullmatch(exchange.path):
            return False
        if self.also is not None and not self.also(exchange):
            return False
        return self.body is None or self.body.search((await exchange.data()).decode(errors="replace")) is not None

    def key(self, exchange: Exchange) -> str:
        """What is counted together."""
        return exchange.path if self.per_path else ""


@frozen
class Deliveries:
    """Deliveries of webhooks by what they tell."""

    event: str | None = None
    """The event, such as `task.completed`; None for any."""
    nth: int = field(default=1, kw_only=True)
    """The first delivery that counts, from 1."""
    probability: float = field(default=1.0, kw_only=True)
    """How likely the fault is for each delivery that fits, from 0 to 1."""

    def fits(self, event: str) -> bool:
        """Whether a delivery is of this kind."""
        return self.event in (None, event)


def _brings_bytes(exchange: Exchange) -> bool:
    return exchange.origin == "storage" or exchange.state.artifact_format.redirect is None


EVERY_REQUEST = Match()
EVERY_DELIVERY = Deliveries()
STORAGE = Match(origin="storage")
STREAMS = Match("GET", r"/tasks/[^/]+/events")
DOWNLOADS = Match("GET", r"(/workspaces/[^/]+)?/artifacts/.+", also=_brings_bytes)
"""The requests that are answered with the bytes of an artifact, whichever origin they come to."""
