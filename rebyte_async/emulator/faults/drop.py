"""Connections that break instead of bringing an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["Drop"]


@frozen
class Drop:
    """The connection breaks: no answer comes."""

    when: str = "before"
    """`before`: the request is neither read nor processed; `after`: it is processed, and only the answer is lost."""
    reset: bool = True
    """Whether by a reset, or by an orderly close."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Break the connection."""
        if self.when == "after":
            await answer()
            await exchange.drain()
        exchange.abort(reset=self.reset)
        return web.Response()
