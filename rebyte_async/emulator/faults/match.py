"""Which requests a fault is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.call import Call

__all__ = ["Match"]


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
    nth: int = field(default=1, kw_only=True)
    """The first request that counts, from 1: those before it are left alone."""
    probability: float = field(default=1.0, kw_only=True)
    """How likely the fault is for each request that fits, from 0 to 1."""
    per_path: bool = field(default=False, kw_only=True)
    """Whether `nth` and the number of times are counted for each path of its own, such as for each task."""

    async def fits(self, call: Call) -> bool:
        """Whether a request is of this kind."""
        if self.method not in (None, call.method):
            return False
        if self.path is not None and not self.path.fullmatch(call.path):
            return False
        return self.body is None or self.body.search((await call.data()).decode(errors="replace")) is not None


EVERY_REQUEST = Match()
STREAMS = Match("GET", r"/tasks/[^/]+/events")
