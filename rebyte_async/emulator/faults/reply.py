"""Answers that were made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from rebyte_async.emulator.answers import answer_json

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.hooks import Answer

__all__ = ["Reply"]


@frozen
class Reply:
    """Any JSON instead of the answer; the request isn't processed, such as a cancel that is lost."""

    data: Any
    """What is answered."""
    status: int = 200
    """The HTTP status."""

    async def around(self, call: Call, answer: Answer) -> web.StreamResponse:
        """Answer with the JSON."""
        del answer
        await call.drain()
        return answer_json(self.data, self.status)
