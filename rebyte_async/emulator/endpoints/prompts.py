"""`/tasks/:id/prompts`: the next turn of a task, and what a delegated agent did.

*Source*: contract, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator import errors, worker
from rebyte_async.emulator.answers import answer_json
from rebyte_async.emulator.endpoints.files import attached
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.state.files import StoredFile
    from rebyte_async.emulator.state.prompts import Prompt
    from rebyte_async.emulator.world import World

_LONGEST_PROMPT = 100_000


def read_prompt(world: World, body: Body) -> Prompt:
    """A prompt from the fields that a task and a further turn have in common.

    Raises:
        Refusal: A field isn't as it must be.
    """
    text = body.text("prompt", longest=_LONGEST_PROMPT)
    return world.make_prompt(text, body.texts("skills"), _files(world, body))


async def create(call: Call) -> web.Response:
    """`POST /tasks/:id/prompts`: waits its turn when another prompt runs."""
    task, body = call.task(), await call.body()
    prompt = read_prompt(call.world, body)
    task.prompts.append(prompt)
    worker.wake(call.world, task)
    return answer_json({"promptId": prompt.id}, 201)


async def events(call: Call) -> web.Response:
    """`GET /tasks/:id/prompts/:promptId/events`: for a delegated prompt only."""
    prompt = call.task().delegated.get(call.params["prompt_id"])
    if prompt is None:
        raise errors.not_found("Delegated prompt")
    return answer_json({"promptId": prompt.id, "events": prompt.transcript.events()})


def _files(world: World, body: Body) -> tuple[StoredFile, ...]:
    return tuple(attached(world, entry) for entry in body.bodies("files"))


ROUTES = (
    Route("POST", "/v1/tasks/{task_id}/prompts", "tasks:write", create),
    Route("GET", "/v1/tasks/{task_id}/prompts/{prompt_id}/events", "tasks:read", events),
)
