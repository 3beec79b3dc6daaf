"""`/tasks/:id/content`: what was asked and answered.

*Source*: contract, section 3 (undocumented, observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange


async def get(exchange: Exchange) -> web.Response:
    """`GET /tasks/:id/content`, with the events if `include=events` asks for them."""
    with_events = "events" in exchange.request.query.get("include", "").split(",")
    return json_response(exchange.task().content(with_events=with_events))


ROUTES = (Route("GET", "/v1/tasks/{task_id}/content", "tasks:read", get),)
