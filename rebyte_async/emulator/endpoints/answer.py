"""`/tasks/:id/answer`: the answer to an agent's question.

*Source*: contract, section 3 (undocumented, observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator import errors
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.questions import Answer

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange


async def create(exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/answer`: 409 when nothing waits for it (any more)."""
    task, body = exchange.task(), await exchange.body()
    message_id, action_id, answer = body.text("messageId"), body.integer("actionId"), _answer(body.body("answer"))
    if task.question is None or not task.question.waits_for(message_id, action_id):
        raise errors.conflict("No question waits for this answer.")
    task.question.settle(answer)
    return json_response({"success": True})


def _answer(body: Body) -> Answer:
    return Answer(body.integers("selectedOptions"), body.optional_text("customResponse"))


ROUTES = (Route("POST", "/v1/tasks/{task_id}/answer", "tasks:write", create),)
