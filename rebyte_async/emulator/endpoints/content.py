"""`/tasks/:id/content`: what was asked and answered.

*Source*: contract, section 3 (undocumented, observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.answers import answer_json
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.call import Call


async def get(call: Call) -> web.Response:
    """`GET /tasks/:id/content`, with the events if `include=events` asks for them."""
    with_events = "events" in call.request.query.get("include", "").split(",")
    return answer_json(call.task().content(with_events=with_events))


ROUTES = (Route("GET", "/v1/tasks/{task_id}/content", "tasks:read", get),)
