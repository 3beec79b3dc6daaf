"""Streams of the wrong turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from rebyte_async.emulator.faults.match import STREAMS, Match

if TYPE_CHECKING:
    from typing import ClassVar

    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["ReplayPrevious"]


@frozen
class ReplayPrevious:
    """A stream still carries the turn before the latest, if there was one."""

    where: ClassVar[Match] = STREAMS

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the previous turn."""
        exchange.turns_back = 1
        return await answer()
