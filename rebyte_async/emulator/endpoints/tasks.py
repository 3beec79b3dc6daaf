"""`/tasks`: make, list, read, cancel, share and delete tasks.

*Source*: contract, section 3.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from rebyte_async.emulator import agent, errors
from rebyte_async.emulator.endpoints.prompts import read_prompt
from rebyte_async.emulator.paging import Paging
from rebyte_async.emulator.responses import empty_response, json_response
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.tasks import Task
from rebyte_async.emulator.webhooks.announce import announce_created

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.workspaces import Workspace

_DEFAULT_EXECUTOR = "claude"
_REPOSITORY = re.compile(r"(https://github\.com/)?[\w.-]+/[\w.-]+")
_VISIBILITIES = ("private", "shared", "public")


async def create(exchange: Exchange) -> web.Response:
    """`POST /tasks`: answers when the VM is up; the task exists as soon as the request was read."""
    task = _make(exchange.state, await exchange.body())
    exchange.state.tasks.add(task)
    announce_created(exchange.state, task)
    answer = json_response(task.created(), 201)
    exchange.state.spawn(_boot(exchange.state, task))
    await asyncio.sleep(exchange.state.settings.boot)
    return answer


async def list_tasks(exchange: Exchange) -> web.Response:
    """`GET /tasks`: a page, the newest first."""
    paging = Paging.parse(exchange.request.query)
    return json_response(paging.page(exchange.state.tasks.oldest_first(), Task.row))


async def get(exchange: Exchange) -> web.Response:
    """`GET /tasks/:id`."""
    return json_response(exchange.task().full())


async def cancel(exchange: Exchange) -> web.Response:
    """`POST /tasks/:id/cancel`: harmless when the task has ended (the answer's body is a guess)."""
    task = exchange.task()
    canceled = agent.stop(exchange.state, task)
    return json_response({"id": task.id, "status": task.status, "canceledPrompts": canceled})


async def set_visibility(exchange: Exchange) -> web.Response:
    """`PATCH /tasks/:id/visibility`: a public task has a URL to share."""
    task, body = exchange.task(), await exchange.body()
    task.visibility = body.choice("visibility", _VISIBILITIES)
    answer = {"visibility": task.visibility}
    if task.visibility == "public":
        answer["shareUrl"] = f"{exchange.state.origins['api']}/share/{task.id}"
    return json_response(answer)


async def delete(exchange: Exchange) -> web.Response:
    """`DELETE /tasks/:id`: it ends, and no read finds it any more."""
    task = exchange.task()
    agent.stop(exchange.state, task)
    exchange.state.tasks.remove(task)
    return empty_response()


async def _boot(state: State, task: Task) -> None:
    await asyncio.sleep(state.settings.boot)
    agent.wake(state, task)


def _make(state: State, body: Body) -> Task:
    prompt = read_prompt(state, body)
    executor = body.optional_text("executor") or _DEFAULT_EXECUTOR
    if executor in state.disabled_executors:
        raise errors.agent_disabled(executor)
    workspace, task_id = _workspace(state, body), state.ids.uuid()
    return Task(
        number=state.tasks.next_number(),
        id=task_id,
        workspace=workspace,
        url=f"{state.origins['api']}/run/{task_id}",
        executor=executor,
        model=body.optional_text("model"),
        created_at=prompt.submitted_at,
        github_url=_repository(body),
        branch_name=body.optional_text("branchName"),
        prompts=[prompt],
    )


def _workspace(state: State, body: Body) -> Workspace:
    workspace_id = body.optional_uuid("workspaceId")
    if workspace_id is None:
        return state.workspaces.make(state.ids.uuid())
    return state.workspaces.get(workspace_id)


def _repository(body: Body) -> str | None:
    url = body.optional_text("githubUrl")
    if url is not None and not _REPOSITORY.fullmatch(url):
        raise errors.validation_error("githubUrl must be owner/repo.")
    return url


ROUTES = (
    Route("POST", "/v1/tasks", "tasks:write", create),
    Route("GET", "/v1/tasks", "tasks:read", list_tasks),
    Route("GET", "/v1/tasks/{task_id}", "tasks:read", get),
    Route("POST", "/v1/tasks/{task_id}/cancel", "tasks:write", cancel),
    Route("PATCH", "/v1/tasks/{task_id}/visibility", "tasks:write", set_visibility),
    Route("DELETE", "/v1/tasks/{task_id}", "tasks:write", delete),
)
