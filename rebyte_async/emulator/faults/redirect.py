"""Redirects, to the same origin or to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aiohttp import web
from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["Redirect"]


@frozen
class Redirect:
    """The answer is elsewhere; the request isn't processed here."""

    status: int = 307
    """The HTTP status, any of 3xx."""
    origin: Literal["api", "storage"] = "api"
    """`api`: the same address once more; `storage`: the same path on the emulator's other origin, with a query that
    lets it be read there without a key."""
    to: str | None = None
    """The `Location` itself, absolute or not, instead of one made from `origin`."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the redirect."""
        del answer
        await exchange.drain()
        return web.Response(status=self.status, headers={"Location": self.to or self._location(exchange)})

    def _location(self, exchange: Exchange) -> str:
        target = exchange.request.rel_url
        if self.origin == "storage":
            target = target.update_query({"pass": exchange.state.issue_read_token()})
        return f"{exchange.state.origins[self.origin]}{target}"
