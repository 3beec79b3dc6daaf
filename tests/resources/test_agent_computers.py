"""Agent computers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from rebyte_async import errors
from rebyte_async.types import AgentComputer, Page
from support.clients import SkippedTime, client_of
from support.golden import Call, assert_golden
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response

ID = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0002"
TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
NEW: dict[str, Any] = {
    "id": ID,
    "name": "Builder",
    "status": "provisioning",
    "icon": "🔧",
    "url": "https://app.invalid/c",
    "created_at": TIME,
    "updated_at": TIME,
}
VIEW = {
    "id": "msv_1",
    "name": None,
    "enabled": True,
    "server": {"type": "internal", "internalName": "sandbox", "remoteId": None},
}
CASES: dict[str, tuple[Call, Any]] = {
    "create_agent_computer": (lambda c: c.agent_computers.create("Builder", icon="🔧"), AgentComputer(**NEW)),
    "list_agent_computers": (
        lambda c: c.agent_computers.list(limit=10),
        Page((AgentComputer(**NEW),), total=1, limit=10, offset=0),
    ),
    "get_agent_computer": (
        lambda c: c.agent_computers.get(ID),
        AgentComputer(
            **NEW  # pyright: ignore[reportArgumentType] - it loses the Any of NEW in the union
            | {
                "status": "ready",
                "sandbox_id": "s1",
                "sandbox_base_url": "https://s1.invalid",
                "sandbox_api_key": "sk_secret",
                "agent_instructions": "Be brief",
                "views": [VIEW],
            }
        ),
    ),
    "update_agent_computer": (
        lambda c: c.agent_computers.update(ID, agent_instructions="Be brief", views={"msv_1": True}),
        None,
    ),
    "delete_agent_computer": (lambda c: c.agent_computers.delete(ID), None),
}


@pytest.mark.parametrize("name", CASES)
async def test_endpoints_follow_the_contract(name: str) -> None:
    """The request has exactly the contract's fields, and the response becomes the documented value."""
    await assert_golden(name, *CASES[name])


class ScriptedReads:
    """Responds to reads of an agent computer with the given responses in order, then with the last one."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.count = 0

    async def __call__(self, request: RawRequest) -> Any:
        """Respond to a create or a read."""
        if request.method == "POST":
            return json_response({"id": ID, "status": "provisioning"}, 201)
        found = self.responses[min(self.count, len(self.responses) - 1)]
        self.count += 1
        return found if isinstance(found, bytes) or found is DROP else json_response({"id": ID, **found})


async def test_the_wait_ends_when_the_agent_computer_is_ready() -> None:
    """The agent computer is read at growing intervals until it is ready."""
    reads = ScriptedReads(*[{"status": "provisioning"}] * 9, {"status": "ready"})
    skipped = SkippedTime()
    async with RawServer(reads) as server, client_of(server.url, _time=skipped.time) as client:
        assert (await client.agent_computers.wait_ready(ID)).is_ready
    assert reads.count == 10
    assert skipped.slept == sorted(skipped.slept)
    assert (skipped.slept[0], max(skipped.slept)) == (1.0, 5.0)


async def test_a_failed_provisioning_is_an_error_with_its_reason() -> None:
    """The error has the server's reason, and the agent computer."""
    reads = ScriptedReads({"status": "provisioning"}, {"status": "error", "provisionError": "no capacity"})
    async with RawServer(reads) as server, client_of(server.url, _time=SkippedTime().time) as client:
        with pytest.raises(errors.ProvisionError, match="no capacity") as caught:
            await client.agent_computers.wait_ready(ID)
    assert caught.value.computer.provision_error == "no capacity"


@pytest.mark.parametrize("status", ["failed", "stopped", None])
async def test_an_unknown_status_that_stays_ends_the_wait(status: str | None) -> None:
    """Without a timeout too, the wait ends, and the error has the status, the reason and the agent computer."""
    reads = ScriptedReads({"status": "provisioning"}, {"status": status, "provisionError": "no quota"})
    skipped = SkippedTime()
    async with RawServer(reads) as server, client_of(server.url, _time=skipped.time) as client:
        with pytest.raises(errors.ProvisionError, match=f"{status or 'without a status'}.*no quota") as caught:
            await client.agent_computers.wait_ready(ID, timeout=None)
    assert caught.value.computer.status == status
    assert 15 <= sum(skipped.slept) < 25


async def test_unknown_statuses_that_pass_are_waited_out() -> None:
    """An agent computer that moves on from one unknown status to the next is waited for."""
    passing = [{"status": word} for word in ("queued", "booting", "provisioning", "booting") for _ in range(3)]
    reads = ScriptedReads(*passing, {"status": "Ready"})
    async with RawServer(reads) as server, client_of(server.url, _time=SkippedTime().time) as client:
        assert (await client.agent_computers.wait_ready(ID, timeout=None)).is_ready


async def test_the_wait_has_one_deadline() -> None:
    """The timeout ends a wait whose reads hang."""
    reads = ScriptedReads({"status": "provisioning"})

    async def stuck(request: RawRequest) -> Any:
        if reads.count:
            await anyio.sleep_forever()
        return await reads(request)

    async with RawServer(stuck) as server, client_of(server.url, _time=SkippedTime().time) as client:
        with pytest.raises(errors.WaitTimeoutError) as caught:
            await client.agent_computers.wait_ready(ID, timeout=0.1)
    assert (caught.value.resource_id, caught.value.last_status) == (ID, "provisioning")


async def test_the_creation_grace_covers_a_404() -> None:
    """A 404 ends the wait, except right after this client's own create."""
    missing = json_response({}, 404)
    reads = ScriptedReads(missing, missing, {"status": "ready"})
    async with RawServer(reads) as server, client_of(server.url, _time=SkippedTime().time) as client:
        with pytest.raises(errors.NotFoundError):
            await client.agent_computers.wait_ready(ID)
        made = await client.agent_computers.create()
        assert (await client.agent_computers.wait_ready(made.id)).is_ready
        assert server.seen("POST")[0].json == {}


@pytest.mark.parametrize("failure", [DROP, http_response(500)], ids=["lost", "500"])
async def test_a_create_is_never_repeated(failure: Any) -> None:
    """An agent computer costs money, so a lost response is an ambiguous create."""

    async def handler(_: RawRequest) -> Any:
        return failure

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.AmbiguousRequestError):
            await client.agent_computers.create("Builder")
        assert len(server.requests) == 1


def test_the_sandbox_key_is_in_no_repr() -> None:
    """The sandbox key is a secret."""
    computer = AgentComputer(id=ID, sandbox_api_key="sk_secret")
    assert "sk_secret" not in repr(computer)
    assert computer.sandbox_api_key == "sk_secret"


async def test_the_sandbox_key_is_in_no_error() -> None:
    """A response that can't be read is kept without the sandbox key."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({"sandboxApiKey": "sk_secret", "id": 5.5})

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError) as caught:
            await client.agent_computers.get(ID)
    assert "sk_secret" not in f"{caught.value} {caught.value.body}"


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.agent_computers.create(""),
        lambda c: c.agent_computers.create("x" * 201),
        lambda c: c.agent_computers.create(icon="x" * 51),
        lambda c: c.agent_computers.create(5),
        lambda c: c.agent_computers.get(".."),
        lambda c: c.agent_computers.update(ID),
        lambda c: c.agent_computers.update(ID, views=5),
        lambda c: c.agent_computers.update(ID, views={"files": "yes"}),
        lambda c: c.agent_computers.update(ID, agent_instructions=5),
        lambda c: c.agent_computers.wait_ready(ID, timeout=-1),
        lambda c: c.agent_computers.list(limit=101),
    ],
)
async def test_what_cannot_be_right_never_leaves(call: Any) -> None:
    """Arguments that can't be right raise an error before any request."""
    async with RawServer(ScriptedReads({})) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError):
            await call(client)
        assert not server.requests
