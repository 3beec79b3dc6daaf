"""Slow answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["Delay"]


@frozen
class Delay:
    """The answer is late. The request is processed even when the client gives up on it."""

    seconds: float
    """How late."""
    when: str = "before"
    """Whether the time read_tokens `before` the request is processed, or `after`."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Wait, then answer; or the other way round."""
        await exchange.data()
        if self.when == "after":
            response = await answer()
            await asyncio.sleep(self.seconds)
            return response
        await asyncio.sleep(self.seconds)
        return await answer()
