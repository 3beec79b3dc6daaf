"""Agent computers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from emulator.raw_client import until
from rebyte_async.emulator import AgentComputerFormat

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator


async def _create(http: RawClient, **fields: Any) -> Any:
    response = await http.call("POST", "/agent-computers", json=fields)
    assert response.status == 201
    return response.json()


async def _settled(http: RawClient, computer_id: str) -> Any:
    async def settled() -> bool:
        return bool((await http.call("GET", f"/agent-computers/{computer_id}")).json()["status"] != "provisioning")

    await until(settled)
    return (await http.call("GET", f"/agent-computers/{computer_id}")).json()


async def test_an_agent_computer_becomes_ready(emulator: Emulator, http: RawClient) -> None:
    """The response to its creation comes at once, with the status `provisioning`; it is ready later."""
    emulator.provision(hold="power")
    created = await _create(http)
    assert (created["status"], created["name"], created["icon"], created["sandboxId"]) == (
        "provisioning",
        "Agent Computer",
        None,
        None,
    )
    assert (await http.call("GET", f"/agent-computers/{created['id']}")).json() == created

    emulator.release("power")
    ready = await _settled(http, created["id"])

    assert (ready["status"], ready["provisionError"]) == ("ready", None)
    assert ready["sandboxId"]
    assert ready["sandboxApiKey"]
    assert ready["updatedAt"] >= created["updatedAt"]


async def test_provisioning_can_fail(emulator: Emulator, http: RawClient) -> None:
    """An agent computer ends with the status `error` and the reason; the next one becomes ready."""
    emulator.provision(seconds=0.001, error="No capacity")

    failed = await _settled(http, (await _create(http))["id"])
    fine = await _settled(http, (await _create(http))["id"])

    assert (failed["status"], failed["provisionError"], failed["sandboxId"]) == ("error", "No capacity", None)
    assert fine["status"] == "ready"


@pytest.mark.parametrize(
    "body", [{"name": "x" * 201}, {"icon": "x" * 51}, {"name": 1}, {"icon": None}, [], {"name": ""}]
)
async def test_invalid_agent_computers_are_refused(http: RawClient, body: Any) -> None:
    """A name has at most 200 characters, an icon 50."""
    response = await http.call("POST", "/agent-computers", json=body)

    assert (response.status, response.code) == (400, "validation_error")


async def test_agent_computers_are_listed_in_pages(http: RawClient) -> None:
    """The newest agent computers come first, with all fields."""
    created = [(await _create(http, name=f"computer {number}"))["id"] for number in range(3)]

    page = (await http.call("GET", "/agent-computers?limit=2")).json()

    assert [computer["id"] for computer in page["data"]] == [created[2], created[1]]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 0)
    assert page["data"][0]["name"] == "computer 2"


async def test_a_task_can_run_on_an_agent_computer(http: RawClient) -> None:
    """The id of an agent computer is that of its workspace."""
    computer = await _create(http)

    response = await http.call("POST", "/tasks", json={"prompt": "x", "workspaceId": computer["id"]})

    assert (response.status, response.json()["workspaceId"]) == (201, computer["id"])


async def test_an_agent_computer_can_be_updated(http: RawClient) -> None:
    """Instructions and views can be set separately."""
    created = await _create(http)
    path = f"/agent-computers/{created['id']}"
    sandbox = next(view for view in created["views"] if view["server"]["internalName"] == "sandbox")

    instructed = (await http.call("PATCH", path, json={"agent_instructions": "Be brief"})).json()
    body = {"views": {sandbox["id"]: False}, "agent_instructions": ""}
    viewed = (await http.call("PATCH", path, json=body)).json()

    assert instructed["agentInstructions"] == "Be brief"
    assert viewed["agentInstructions"] == ""
    changed = [view for view in viewed["views"] if view not in created["views"]]
    assert changed == [{**sandbox, "enabled": False}]


async def test_views_have_opaque_ids(http: RawClient) -> None:
    """Each computer has its own ids for its views, and a client finds a view by its server's name."""
    one, other = (await _create(http))["views"], (await _create(http))["views"]

    assert one[0].keys() == {"id", "name", "enabled", "server"}
    assert one[0]["server"] == {"type": "internal", "internalName": "web_search_&_browse", "remoteId": None}
    assert [view["server"] for view in one] == [view["server"] for view in other]
    assert not {view["id"] for view in one} & {view["id"] for view in other}


@pytest.mark.parametrize("kind", ["number", "name", "other computer's"])
async def test_invalid_views_are_refused(http: RawClient, kind: str) -> None:
    """Views are set by the ids of this computer's own views, to booleans; nothing is changed otherwise."""
    computer, other = await _create(http), await _create(http)
    known = computer["views"][0]["id"]
    wrong: dict[str, Any] = {
        "number": {known: 1},
        "name": {"sandbox": False},
        "other computer's": {other["views"][0]["id"]: False},
    }
    path = f"/agent-computers/{computer['id']}"

    response = await http.call("PATCH", path, json={"views": {known: False, **wrong[kind]}})

    assert (response.status, response.code) == (400, "validation_error")
    assert (await http.call("GET", path)).json()["views"] == computer["views"]


async def test_the_base_url_of_a_sandbox_is_an_origin(http: RawClient) -> None:
    """A client can build the address of a port in the sandbox from it."""
    computer = await _settled(http, (await _create(http))["id"])
    base_url = URL(computer["sandboxBaseUrl"])

    assert base_url == base_url.origin()
    assert URL(f"https://49983-{computer['sandboxId']}.{base_url.host}").host


@pytest.mark.parametrize(("deleted", "status"), [(None, 204), ({}, 200), ({"success": True}, 200)])
async def test_a_delete_may_have_a_body(http: RawClient, emulator: Emulator, deleted: Any, status: int) -> None:
    """The body of the response to a delete is a setting: none, or JSON."""
    emulator.agent_computer_format = AgentComputerFormat(deleted=deleted)
    path = f"/agent-computers/{(await _create(http))['id']}"

    response = await http.call("DELETE", path)

    assert emulator.agent_computer_format.deleted == deleted
    assert response.status == status
    assert response.body == b"" if deleted is None else response.json() == deleted
    assert (await http.call("GET", path)).status == 404


async def test_a_deleted_agent_computer_is_not_found(http: RawClient) -> None:
    """Reads get a 404, and no task can use its workspace."""
    computer_id = (await _create(http))["id"]

    deleted = await http.call("DELETE", f"/agent-computers/{computer_id}")
    read = await http.call("GET", f"/agent-computers/{computer_id}")
    task = await http.call("POST", "/tasks", json={"prompt": "x", "workspaceId": computer_id})

    assert (deleted.status, read.status, task.status) == (204, 404, 404)


async def test_agent_computers_have_their_own_scopes(emulator: Emulator, http: RawClient) -> None:
    """A key for tasks can't access agent computers."""
    headers = {"API_KEY": emulator.add_key(scopes={"tasks:read", "tasks:write"})}

    assert (await http.call("GET", "/agent-computers", headers=headers)).code == "insufficient_scopes"
