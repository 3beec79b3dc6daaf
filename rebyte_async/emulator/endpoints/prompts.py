"""`/tasks/:id/prompts`: the next turn of a task, and what a delegated agent did.

*Source*: contract, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator import agent, errors
from rebyte_async.emulator.endpoints.files import attached
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.files import StoredFile
    from rebyte_async.emulator.state.prompts import Prompt

_LONGEST_PROMPT = 100_000


def read_prompt(state: State, body: Body) -> Prompt:
    """A prompt from the fields that a task and a further turn have in common.

    Raises:
        ApiError: A field isn't as it must be.
    """
    text = body.text("prompt", longest=_LONGEST_PROMPT)
    return state.make_prompt(text, body.texts("skills"), _files(state, body))


async def create(exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/prompts`: waits its turn when another prompt runs."""
    task, body = exchange.task(), await exchange.body()
    prompt = read_prompt(exchange.state, body)
    task.prompts.append(prompt)
    agent.wake(exchange.state, task)
    return json_response({"promptId": prompt.id}, 201)


async def events(exchange: Exchange) -> web.Response:
    """`GET /tasks/:id/prompts/:promptId/events`: for a delegated prompt only."""
    prompt = exchange.task().delegated.get(exchange.params["prompt_id"])
    if prompt is None:
        raise errors.not_found("Delegated prompt")
    return json_response({"promptId": prompt.id, "events": prompt.transcript.events()})


def _files(state: State, body: Body) -> tuple[StoredFile, ...]:
    return tuple(attached(state, entry) for entry in body.bodies("files"))


ROUTES = (
    Route("POST", "/v1/tasks/{task_id}/prompts", "tasks:write", create),
    Route("GET", "/v1/tasks/{task_id}/prompts/{prompt_id}/events", "tasks:read", events),
)
