"""`/agent-computers`: create, list, get, update and delete agent computers.

*Source*: contract §2, documented; updates and deletes: observed
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from rebyte_async.emulator.body import JsonObject, make_page
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import json_response, validation_error
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.agent_computers import AgentComputer, Provisioning, make_views
from rebyte_async.emulator.state.files import Workspace

_DEFAULT_NAME = "Agent Computer"
_MAX_NAME = 200
_MAX_ICON = 50


async def create(state: State, exchange: Exchange) -> web.Response:
    """`POST /agent-computers`: responds at once; the VM becomes ready later."""
    body = await exchange.body.json()
    name = body.optional_text("name", max_length=_MAX_NAME) or _DEFAULT_NAME
    icon = body.optional_text("icon", max_length=_MAX_ICON)
    agent_computer_id, now = state.ids.uuid(), state.clock()
    agent_computer = AgentComputer(
        id=agent_computer_id,
        name=name,
        icon=icon,
        url=f"{state.origins['api']}/computer/{agent_computer_id}",
        created_at=now,
        updated_at=now,
        views=make_views(state.ids.token),
    )
    state.agent_computers[agent_computer_id] = agent_computer
    state.workspaces.setdefault(agent_computer_id, Workspace(agent_computer_id))
    response = json_response(agent_computer.to_json(), 201)
    state.spawn(_provision(state, agent_computer))
    return response


async def list_agent_computers(state: State, exchange: Exchange) -> web.Response:
    """`GET /agent-computers`: a page, the newest first."""
    return json_response(make_page(exchange.request.query, state.agent_computers, AgentComputer.to_json))


async def get(state: State, exchange: Exchange) -> web.Response:
    return json_response(_get(state, exchange).to_json())


async def update(state: State, exchange: Exchange) -> web.Response:
    """`PATCH /agent-computers/:id`: its fields are in snake_case, unlike all others."""
    agent_computer, body = _get(state, exchange), await exchange.body.json()
    instructions, views = body.optional_string("agent_instructions"), _read_views(body, agent_computer)
    if instructions is not None:
        agent_computer.agent_instructions = instructions
    for view_id, is_enabled in views.items():
        agent_computer.views[view_id].is_enabled = is_enabled
    agent_computer.updated_at = state.clock()
    return json_response(agent_computer.to_json())


async def delete(state: State, exchange: Exchange) -> web.Response:
    """`DELETE /agent-computers/:id`: no task can use its workspace afterwards."""
    agent_computer = _get(state, exchange)
    del state.agent_computers[agent_computer.id]
    del state.workspaces[agent_computer.id]
    deleted = state.formats.agent_computer.deleted
    return web.Response(status=204) if deleted is None else json_response(deleted)


def _get(state: State, exchange: Exchange) -> AgentComputer:
    return state.agent_computers[exchange.params["agent_computer_id"]]


async def _provision(state: State, agent_computer: AgentComputer) -> None:
    if state.provisionings:
        provisioning = state.provisionings.popleft()
    else:
        provisioning = Provisioning(seconds=state.provisioning_seconds)
    await asyncio.sleep(provisioning.seconds)
    if provisioning.hold is not None:
        await state.latches[provisioning.hold].wait()
    agent_computer.updated_at, agent_computer.provision_error = state.clock(), provisioning.error
    if provisioning.error is not None:
        agent_computer.status = "error"
    else:
        agent_computer.status = "ready"
        agent_computer.sandbox_id, agent_computer.sandbox_api_key = state.ids.uuid(), state.ids.token("sbx_")


def _read_views(body: JsonObject, agent_computer: AgentComputer) -> dict[str, bool]:
    views = body.object("views").values if "views" in body.values else {}
    if not all(isinstance(enabled, bool) for enabled in views.values()):
        raise validation_error("views must be an object of booleans.")
    unknown = views.keys() - agent_computer.views.keys()
    if unknown:  # GUESS(§2): that it is an error
        raise validation_error(f"views has no view {min(unknown)!r}; the keys are the ids of GET.")
    return views


ROUTES = (
    Route("POST", "/v1/agent-computers", "agent-computers:write", create),
    Route("GET", "/v1/agent-computers", "agent-computers:read", list_agent_computers),
    Route("GET", "/v1/agent-computers/{agent_computer_id}", "agent-computers:read", get),
    Route("PATCH", "/v1/agent-computers/{agent_computer_id}", "agent-computers:write", update),
    Route("DELETE", "/v1/agent-computers/{agent_computer_id}", "agent-computers:write", delete),
)
