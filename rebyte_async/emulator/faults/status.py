"""Answers with another status than the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async.emulator import errors
from rebyte_async.emulator.faults.match import Match
from rebyte_async.emulator.responses import error_response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["ReadLag", "Status"]

_CODES = {
    400: "validation_error",
    401: "invalid_api_key",
    403: "insufficient_scopes",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
}


@frozen
class Status:
    """An error in the API's envelope, instead of the answer."""

    status: int
    """The HTTP status."""
    code: str | None = None
    """The error's code; None for one that goes with the status."""
    message: str = "A fault was injected."
    """The error's message."""
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    """Further headers, such as `Retry-After`."""
    when: str = field(default="before", kw_only=True)
    """`before`: instead of processing the request; `after`: it is processed, and only the answer is this."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the error."""
        if self.when == "after":
            await answer()
        await exchange.drain()
        code = self.code or _CODES.get(self.status, "internal_error")
        response = error_response(errors.ApiError(self.status, code, self.message))
        response.headers.update(self.headers)
        return response


@frozen
class ReadLag:
    """A task that was just made isn't found yet; `times` counts for each path of its own."""

    where: ClassVar[Match] = Match("GET", r"/tasks/[^/]+(/events|/content)?", per_path=True)

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer that there is no such task."""
        del exchange, answer
        return error_response(errors.not_found("Task"))
