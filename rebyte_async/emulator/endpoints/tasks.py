"""`/tasks`: create, list, get, cancel, share and delete tasks, add prompts to them, and answer their questions.

*Source*: contract §3, documented; content and answers: observed
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from rebyte_async.emulator import agent
from rebyte_async.emulator.body import JsonObject, make_page
from rebyte_async.emulator.endpoints.files import find_attached
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import ApiError, conflict, empty_response, json_response, validation_error
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.files import Workspace
from rebyte_async.emulator.state.prompts import Answer, Prompt
from rebyte_async.emulator.state.tasks import Task

if TYPE_CHECKING:
    from aiohttp import web

_DEFAULT_EXECUTOR = "claude"
_MAX_PROMPT = 100_000
_REPOSITORY = re.compile(r"(https://github\.com/)?[\w.-]+/[\w.-]+")
_VISIBILITIES = ("private", "shared", "public")


async def create(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks`: the task exists once the request was read; the response comes when the VM has booted."""
    task = _create(state, await exchange.body.json())
    state.tasks[task.id] = task
    state.deliveries.notify(task, "task.created")
    response = json_response(task.created_json(), 201)

    async def boot() -> None:
        await asyncio.sleep(state.boot_seconds)
        agent.start(state, task)

    state.spawn(boot())
    await asyncio.sleep(state.boot_seconds)
    return response


async def list_tasks(state: State, exchange: Exchange) -> web.Response:
    """`GET /tasks`: a page, the newest first."""
    return json_response(make_page(exchange.request.query, state.tasks, Task.row_json))


async def get(state: State, exchange: Exchange) -> web.Response:
    return json_response(_get(state, exchange).full_json())


async def get_content(state: State, exchange: Exchange) -> web.Response:
    """`GET /tasks/:id/content`: with the events if `include=events` asks for them."""
    with_events = "events" in exchange.request.query.get("include", "").split(",")
    return json_response(_get(state, exchange).content_json(with_events=with_events))


async def create_prompt(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/prompts`: the prompt waits while another one runs."""
    task, body = _get(state, exchange), await exchange.body.json()
    prompt = _create_prompt(state, body)
    task.prompts.append(prompt)
    agent.start(state, task)
    return json_response({"promptId": prompt.id}, 201)


async def answer(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/answer`: 409 when no question waits for the answer (any more)."""
    task, body = _get(state, exchange), await exchange.body.json()
    message_id, action_id, fields = body.text("messageId"), body.integer("actionId"), body.object("answer")
    given = Answer(fields.integers("selectedOptions"), fields.optional_text("customResponse"))
    if task.question is None or not task.question.awaits(message_id, action_id):
        raise conflict("No question waits for this answer.")
    task.question.accept(given)
    return json_response({"success": True})


async def cancel(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/cancel`: without effect on a task that has ended. GUESS(§3): the body of the response."""
    task = _get(state, exchange)
    canceled = agent.cancel(state, task)
    return json_response({"id": task.id, "status": task.status, "canceledPrompts": canceled})


async def set_visibility(state: State, exchange: Exchange) -> web.Response:
    """`PATCH /tasks/:id/visibility`: a public task has a URL to share."""
    task, body = _get(state, exchange), await exchange.body.json()
    task.visibility = body.choice("visibility", _VISIBILITIES)
    data = {"visibility": task.visibility}
    if task.visibility == "public":
        data["shareUrl"] = f"{state.origins['api']}/share/{task.id}"
    return json_response(data)


async def delete(state: State, exchange: Exchange) -> web.Response:
    """`DELETE /tasks/:id`: cancels the task, and hides it from every read."""
    task = _get(state, exchange)
    agent.cancel(state, task)
    del state.tasks[task.id]
    return empty_response()


def _get(state: State, exchange: Exchange) -> Task:
    return state.tasks[exchange.params["task_id"]]


def _create(state: State, body: JsonObject) -> Task:
    prompt = _create_prompt(state, body)
    executor = body.optional_text("executor") or _DEFAULT_EXECUTOR
    if executor in state.disabled_executors:
        message = f"The executor {executor} is disabled for this organization."
        raise ApiError(403, "agent_disabled", message)
    workspace_id, github_url = body.optional_uuid("workspaceId"), body.optional_text("githubUrl")
    if workspace_id is None:
        workspace_id = state.ids.uuid()
        state.workspaces.setdefault(workspace_id, Workspace(workspace_id))
    workspace = state.workspaces[workspace_id]
    if github_url is not None and not _REPOSITORY.fullmatch(github_url):
        raise validation_error("githubUrl must be owner/repo.")
    task_id = state.ids.uuid()
    return Task(
        id=task_id,
        workspace=workspace,
        url=f"{state.origins['api']}/run/{task_id}",
        executor=executor,
        model=body.optional_text("model"),
        created_at=prompt.submitted_at,
        github_url=github_url,
        branch_name=body.optional_text("branchName"),
        prompts=[prompt],
    )


def _create_prompt(state: State, body: JsonObject) -> Prompt:
    text, skills = body.text("prompt", max_length=_MAX_PROMPT), body.texts("skills")
    return state.create_prompt(text, skills, tuple(find_attached(state, entry) for entry in body.objects("files")))


ROUTES = (
    Route("POST", "/v1/tasks", "tasks:write", create),
    Route("GET", "/v1/tasks", "tasks:read", list_tasks),
    Route("GET", "/v1/tasks/{task_id}", "tasks:read", get),
    Route("POST", "/v1/tasks/{task_id}/cancel", "tasks:write", cancel),
    Route("PATCH", "/v1/tasks/{task_id}/visibility", "tasks:write", set_visibility),
    Route("DELETE", "/v1/tasks/{task_id}", "tasks:write", delete),
    Route("POST", "/v1/tasks/{task_id}/prompts", "tasks:write", create_prompt),
    Route("GET", "/v1/tasks/{task_id}/content", "tasks:read", get_content),
    Route("POST", "/v1/tasks/{task_id}/answer", "tasks:write", answer),
)
