"""`/agent-computers`: make, list, read, change and delete agent computers.

*Source*: contract, section 2 (changing and deleting: undocumented, observed).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.paging import Paging
from rebyte_async.emulator.responses import empty_response, json_response
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.agent_computers import AgentComputer, Provisioning

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State

_DEFAULT_NAME = "Agent Computer"
_LONGEST_NAME = 200
_LONGEST_ICON = 50


async def create(exchange: Exchange) -> web.Response:
    """`POST /agent-computers`: answers at once, the VM comes up later."""
    computer = _make(exchange.state, await exchange.body())
    exchange.state.computers.add(computer)
    exchange.state.workspaces.make(computer.id)
    answer = json_response(computer.written(), 201)
    exchange.state.spawn(_provision(exchange.state, computer))
    return answer


async def list_computers(exchange: Exchange) -> web.Response:
    """`GET /agent-computers`: a page, the newest first."""
    paging = Paging.parse(exchange.request.query)
    return json_response(paging.page(exchange.state.computers.oldest_first(), AgentComputer.written))


async def get(exchange: Exchange) -> web.Response:
    """`GET /agent-computers/:id`."""
    return json_response(_computer(exchange).written())


async def update(exchange: Exchange) -> web.Response:
    """`PATCH /agent-computers/:id`: its fields are in snake_case, unlike all others."""
    computer, body = _computer(exchange), await exchange.body()
    instructions, views = body.optional_string("agent_instructions"), _views(body)
    if instructions is not None:
        computer.agent_instructions = instructions
    computer.views.update(views)
    computer.updated_at = exchange.state.clock()
    return json_response(computer.written())


async def delete(exchange: Exchange) -> web.Response:
    """`DELETE /agent-computers/:id`: no task can use its workspace any more."""
    computer = _computer(exchange)
    exchange.state.computers.remove(computer)
    exchange.state.workspaces.remove(computer.id)
    return empty_response()


def _computer(exchange: Exchange) -> AgentComputer:
    return exchange.state.computers.get(exchange.params["computer_id"])


def _make(state: State, body: Body) -> AgentComputer:
    name = body.optional_text("name", longest=_LONGEST_NAME) or _DEFAULT_NAME
    icon = body.optional_text("icon", longest=_LONGEST_ICON)
    computer_id, now = state.ids.uuid(), state.clock()
    return AgentComputer(
        number=state.computers.next_number(),
        id=computer_id,
        name=name,
        icon=icon,
        url=f"{state.origins['api']}/computer/{computer_id}",
        created_at=now,
        updated_at=now,
    )


async def _provision(state: State, computer: AgentComputer) -> None:
    plan = _plan(state)
    await asyncio.sleep(plan.seconds)
    if plan.hold is not None:
        await state.gates[plan.hold].wait()
    if plan.error is not None:
        computer.fail(plan.error, state.clock())
    else:
        computer.succeed(state.ids.uuid(), state.ids.token("sbx_"), state.clock())


def _plan(state: State) -> Provisioning:
    if state.provisionings:
        return state.provisionings.popleft()
    return Provisioning(seconds=state.settings.provisioning, hold=None, error=None)


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
