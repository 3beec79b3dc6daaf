"""Answers that were made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from rebyte_async.emulator.responses import json_response

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["Reply"]


@frozen
class Reply:
    """Any JSON instead of the answer; the request isn't processed, such as a cancel that is lost."""

    data: Any
    """What is answered."""
    status: int = 200
    """The HTTP status."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the JSON."""
        del answer
        await exchange.drain()
        return json_response(self.data, self.status)
