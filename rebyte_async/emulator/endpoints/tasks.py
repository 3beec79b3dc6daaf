"""`/tasks`: make, list, read, cancel, share and delete tasks.

*Source*: contract, section 3.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from rebyte_async.emulator import errors, worker
from rebyte_async.emulator.answers import answer_json, answer_nothing
from rebyte_async.emulator.endpoints.prompts import read_prompt
from rebyte_async.emulator.paging import Paging
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.tasks import Task
from rebyte_async.emulator.webhooks.announce import announce_created

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.state.workspaces import Workspace
    from rebyte_async.emulator.world import World

_DEFAULT_EXECUTOR = "claude"
_REPOSITORY = re.compile(r"(https://github\.com/)?[\w.-]+/[\w.-]+")
_VISIBILITIES = ("private", "shared", "public")


async def create(call: Call) -> web.Response:
    """`POST /tasks`: answers when the VM is up; the task exists as soon as the request was read."""
    task = _make(call.world, await call.body())
    call.world.tasks.add(task)
    announce_created(call.world, task)
    answer = answer_json(task.created(), 201)
    call.world.spawn(_boot(call.world, task))
    await asyncio.sleep(call.world.settings.boot)
    return answer


async def list_tasks(call: Call) -> web.Response:
    """`GET /tasks`: a page, the newest first."""
    paging = Paging.parse(call.request.query)
    return answer_json(paging.page(call.world.tasks.oldest_first(), Task.row))


async def get(call: Call) -> web.Response:
    """`GET /tasks/:id`."""
    return answer_json(call.task().full())


async def cancel(call: Call) -> web.Response:
    """`POST /tasks/:id/cancel`: harmless when the task has ended (the answer's body is a guess)."""
    task = call.task()
    canceled = worker.stop(call.world, task)
    return answer_json({"id": task.id, "status": task.status, "canceledPrompts": canceled})


async def set_visibility(call: Call) -> web.Response:
    """`PATCH /tasks/:id/visibility`: a public task has a URL to share."""
    task, body = call.task(), await call.body()
    task.visibility = body.choice("visibility", _VISIBILITIES)
    answer = {"visibility": task.visibility}
    if task.visibility == "public":
        answer["shareUrl"] = f"{call.world.origins['api']}/share/{task.id}"
    return answer_json(answer)


async def delete(call: Call) -> web.Response:
    """`DELETE /tasks/:id`: it ends, and no read finds it any more."""
    task = call.task()
    worker.stop(call.world, task)
    call.world.tasks.remove(task)
    return answer_nothing()


async def _boot(world: World, task: Task) -> None:
    await asyncio.sleep(world.settings.boot)
    worker.wake(world, task)


def _make(world: World, body: Body) -> Task:
    prompt = read_prompt(world, body)
    executor = body.optional_text("executor") or _DEFAULT_EXECUTOR
    if executor in world.disabled_executors:
        raise errors.agent_disabled(executor)
    workspace, task_id = _workspace(world, body), world.ids.uuid()
    return Task(
        number=world.tasks.next_number(),
        id=task_id,
        workspace=workspace,
        url=f"{world.origins['api']}/run/{task_id}",
        executor=executor,
        model=body.optional_text("model"),
        created_at=prompt.submitted_at,
        github_url=_repository(body),
        branch_name=body.optional_text("branchName"),
        prompts=[prompt],
    )


def _workspace(world: World, body: Body) -> Workspace:
    workspace_id = body.optional_uuid("workspaceId")
    if workspace_id is None:
        return world.workspaces.make(world.ids.uuid())
    return world.workspaces.get(workspace_id)


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
