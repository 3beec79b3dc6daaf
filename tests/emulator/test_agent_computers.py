"""Agent computers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emulator.raw_client import until

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator


async def _create(http: RawClient, **fields: Any) -> Any:
    reply = await http.call("POST", "/agent-computers", json=fields)
    assert reply.status == 201
    return reply.json()


async def _settled(http: RawClient, computer_id: str) -> Any:
    async def settled() -> bool:
        return bool((await http.call("GET", f"/agent-computers/{computer_id}")).json()["status"] != "provisioning")

    await until(settled)
    return (await http.call("GET", f"/agent-computers/{computer_id}")).json()


async def test_an_agent_computer_comes_up(emulator: Emulator, http: RawClient) -> None:
    """It is answered at once as provisioning, and is ready later."""
    emulator.provision(hold="power")
    made = await _create(http)
    assert (made["status"], made["name"], made["icon"], made["sandboxId"]) == (
        "provisioning",
        "Agent Computer",
        None,
        None,
    )
    assert (await http.call("GET", f"/agent-computers/{made['id']}")).json() == made

    emulator.release("power")
    ready = await _settled(http, made["id"])

    assert (ready["status"], ready["provisionError"]) == ("ready", None)
    assert ready["sandboxId"]
    assert ready["sandboxApiKey"]
    assert ready["updatedAt"] >= made["updatedAt"]


async def test_an_agent_computer_can_fail_to_come_up(emulator: Emulator, http: RawClient) -> None:
    """It ends as error, with the reason; the next one is fine."""
    emulator.provision(seconds=0.001, error="No capacity")

    failed = await _settled(http, (await _create(http))["id"])
    fine = await _settled(http, (await _create(http))["id"])

    assert (failed["status"], failed["provisionError"], failed["sandboxId"]) == ("error", "No capacity", None)
    assert fine["status"] == "ready"


@pytest.mark.parametrize(
    "body", [{"name": "x" * 201}, {"icon": "x" * 51}, {"name": 1}, {"icon": None}, [], {"name": ""}]
)
async def test_an_agent_computer_that_is_not_as_it_must_be_is_refused(http: RawClient, body: Any) -> None:
    """A name has at most 200 characters, an icon 50."""
    reply = await http.call("POST", "/agent-computers", json=body)

    assert (reply.status, reply.code) == (400, "validation_error")


async def test_agent_computers_are_listed_in_pages(http: RawClient) -> None:
    """The newest first, whole."""
    made = [(await _create(http, name=f"computer {number}"))["id"] for number in range(3)]

    page = (await http.call("GET", "/agent-computers?limit=2")).json()

    assert [computer["id"] for computer in page["data"]] == [made[2], made[1]]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 0)
    assert page["data"][0]["name"] == "computer 2"


async def test_a_task_can_run_on_an_agent_computer(http: RawClient) -> None:
    """Its id is the workspace's."""
    computer = await _create(http)

    reply = await http.call("POST", "/tasks", json={"prompt": "x", "workspaceId": computer["id"]})

    assert (reply.status, reply.json()["workspaceId"]) == (201, computer["id"])


async def test_an_agent_computer_can_be_changed(http: RawClient) -> None:
    """Instructions and views, each on its own; wrong ones are refused."""
    path = f"/agent-computers/{(await _create(http))['id']}"

    instructed = (await http.call("PATCH", path, json={"agent_instructions": "Be brief"})).json()
    viewed = (await http.call("PATCH", path, json={"views": {"terminal": False}, "agent_instructions": ""})).json()
    wrong = await http.call("PATCH", path, json={"views": {"terminal": 1}})

    assert instructed["agentInstructions"] == "Be brief"
    assert viewed["agentInstructions"] == ""
    assert {"id": "terminal", "enabled": False} in viewed["views"]
    assert wrong.code == "validation_error"


async def test_a_deleted_agent_computer_is_gone(http: RawClient) -> None:
    """Reads are 404, and no task can use its workspace."""
    computer_id = (await _create(http))["id"]

    deleted = await http.call("DELETE", f"/agent-computers/{computer_id}")
    read = await http.call("GET", f"/agent-computers/{computer_id}")
    task = await http.call("POST", "/tasks", json={"prompt": "x", "workspaceId": computer_id})

    assert (deleted.status, read.status, task.status) == (204, 404, 404)


async def test_agent_computers_have_scopes_of_their_own(emulator: Emulator, http: RawClient) -> None:
    """A key for tasks may not touch them."""
    headers = {"API_KEY": emulator.add_key(scopes={"tasks:read", "tasks:write"})}

    assert (await http.call("GET", "/agent-computers", headers=headers)).code == "insufficient_scopes"
