"""`/agent-computers`: make, list, read, change and delete agent computers.

*Source*: contract, section 2 (changing and deleting: undocumented, observed).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rebyte_async.emulator.answers import answer_json, answer_nothing
from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.paging import Paging
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.computers import AgentComputer, Provisioning

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.world import World

_DEFAULT_NAME = "Agent Computer"
_LONGEST_NAME = 200
_LONGEST_ICON = 50


async def create(call: Call) -> web.Response:
    """`POST /agent-computers`: answers at once, the VM comes up later."""
    computer = _make(call.world, await call.body())
    call.world.computers.add(computer)
    call.world.workspaces.make(computer.id)
    answer = answer_json(computer.written(), 201)
    call.world.spawn(_provision(call.world, computer))
    return answer


async def list_computers(call: Call) -> web.Response:
    """`GET /agent-computers`: a page, the newest first."""
    paging = Paging.parse(call.request.query)
    return answer_json(paging.page(call.world.computers.oldest_first(), AgentComputer.written))


async def get(call: Call) -> web.Response:
    """`GET /agent-computers/:id`."""
    return answer_json(_computer(call).written())


async def update(call: Call) -> web.Response:
    """`PATCH /agent-computers/:id`: its fields are in snake_case, unlike all others."""
    computer, body = _computer(call), await call.body()
    instructions, views = body.optional_string("agent_instructions"), _views(body)
    if instructions is not None:
        computer.agent_instructions = instructions
    computer.views.update(views)
    computer.updated_at = call.world.clock()
    return answer_json(computer.written())


async def delete(call: Call) -> web.Response:
    """`DELETE /agent-computers/:id`: no task can use its workspace any more."""
    computer = _computer(call)
    call.world.computers.remove(computer)
    call.world.workspaces.remove(computer.id)
    return answer_nothing()


def _computer(call: Call) -> AgentComputer:
    return call.world.computers.get(call.params["computer_id"])


def _make(world: World, body: Body) -> AgentComputer:
    name = body.optional_text("name", longest=_LONGEST_NAME) or _DEFAULT_NAME
    icon = body.optional_text("icon", longest=_LONGEST_ICON)
    computer_id, now = world.ids.uuid(), world.clock()
    return AgentComputer(
        number=world.computers.next_number(),
        id=computer_id,
        name=name,
        icon=icon,
        url=f"{world.origins['api']}/computer/{computer_id}",
        created_at=now,
        updated_at=now,
    )


async def _provision(world: World, computer: AgentComputer) -> None:
    plan = _plan(world)
    await asyncio.sleep(plan.seconds)
    if plan.hold is not None:
        await world.gates[plan.hold].wait()
    if plan.error is not None:
        computer.fail(plan.error, world.clock())
    else:
        computer.succeed(world.ids.uuid(), world.ids.token("sbx_"), world.clock())


def _plan(world: World) -> Provisioning:
    if world.provisionings:
        return world.provisionings.popleft()
    return Provisioning(seconds=world.settings.provisioning, hold=None, error=None)


def _views(body: Body) -> dict[str, bool]:
    views = body.body("views").values if body.has("views") else {}
    if not all(isinstance(enabled, bool) for enabled in views.values()):
        raise validation_error("views must be an object of booleans.")
    return views


ROUTES = (
    Route("POST", "/v1/agent-computers", "agent-computers:write", create),
    Route("GET", "/v1/agent-computers", "agent-computers:read", list_computers),
    Route("GET", "/v1/agent-computers/{computer_id}", "agent-computers:read", get),
    Route("PATCH", "/v1/agent-computers/{computer_id}", "agent-computers:write", update),
    Route("DELETE", "/v1/agent-computers/{computer_id}", "agent-computers:write", delete),
)
