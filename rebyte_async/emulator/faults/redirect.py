"""Redirects, to the same origin or to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aiohttp import web
from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.hooks import Answer

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

    async def around(self, call: Call, answer: Answer) -> web.StreamResponse:
        """Answer with the redirect."""
        del answer
        await call.drain()
        return web.Response(status=self.status, headers={"Location": self.to or self._location(call)})

    def _location(self, call: Call) -> str:
        target = call.request.rel_url
        if self.origin == "storage":
            target = target.update_query({"pass": call.world.make_pass()})
        return f"{call.world.origins[self.origin]}{target}"
