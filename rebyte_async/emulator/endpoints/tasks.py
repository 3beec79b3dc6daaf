"""`/tasks`: create, list, get, cancel, share and delete tasks, add prompts to them, and answer their questions.

The agent of a task works on its prompts one after the other, by playing their scripts.

*Source*: contract §3, documented; content and answers: observed
"""

from __future__ import annotations

import asyncio
import re

from aiohttp import web

from rebyte_async.emulator.body import JsonObject, make_page
from rebyte_async.emulator.endpoints.files import find_attached
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import ApiError, conflict, json_response, validation_error
from rebyte_async.emulator.script.player import ScriptPlayer
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.files import Workspace
from rebyte_async.emulator.state.prompts import Answer, Prompt
from rebyte_async.emulator.state.tasks import Task

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
        _start_agent(state, task)

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
    _start_agent(state, task)
    return json_response({"promptId": prompt.id}, 201)


async def answer(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/answer`: 409 when no question waits for the answer (any more)."""
    task, body = _get(state, exchange), await exchange.body.json()
    message_id, action_id, fields = body.text("messageId"), body.integer("actionId"), body.object("answer")
    is_several = "answers" in fields.values
    given = tuple(map(_read_answer, fields.objects("answers"))) if is_several else _read_answer(fields)
    if task.question is None or not task.question.awaits(message_id, action_id):
        raise conflict("No question waits for this answer.")
    task.question.accept(given)
    return json_response({"success": True})


async def cancel(state: State, exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/cancel`: without effect on a task that has ended. GUESS(§3): the body of the response."""
    task = _get(state, exchange)
    canceled = _stop_agent(state, task)
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
    _stop_agent(state, task)
    del state.tasks[task.id]
    return web.Response(status=204)


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


def _read_answer(fields: JsonObject) -> Answer:
    return Answer(fields.integers("selectedOptions"), fields.optional_string("customResponse"))


def _create_prompt(state: State, body: JsonObject) -> Prompt:
    text, skills = body.text("prompt", max_length=_MAX_PROMPT), body.texts("skills")
    return state.create_prompt(text, skills, tuple(find_attached(state, entry) for entry in body.objects("files")))


def _start_agent(state: State, task: Task) -> None:
    """Start the agent of a task, unless it is at work."""
    if task.agent is None or task.agent.done():
        task.agent = state.spawn(_work(state, task))


def _stop_agent(state: State, task: Task) -> int:
    """Stop the agent, end the task's open prompts as canceled, and return how many there were."""
    prompts = task.open_prompts
    # An agent without an open prompt plays late steps, which a cancel doesn't stop. The prompts of delegations end with
    # the turn that they belong to.
    if prompts and task.agent is not None:
        task.agent.cancel()
        task.agent = None
    for prompt in (*prompts, *(prompt for prompt in task.delegated.values() if prompts)):
        prompt.end("canceled", "", state.clock())
    state.deliveries.announce(task)
    return len(prompts)


async def _work(state: State, task: Task) -> None:
    while (prompt := next(iter(task.open_prompts), None)) is not None:
        prompt.status = "running"
        task.workspace.files.update({file.filename: file for file in prompt.files})
        state.deliveries.announce(task)
        player = ScriptPlayer(state, task, prompt, state.deliveries.announce)
        try:
            await player.play(state.scripts.take(prompt.text))
        except Exception as error:  # noqa: BLE001 - `Emulator.check` raises whatever a script's function raises
            state.problems.append(error)
            player.end("failed", f"The script failed: {error!r}")
        else:
            player.finish()


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
