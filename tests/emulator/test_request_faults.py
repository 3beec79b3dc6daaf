"""Faults of requests as a whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import pytest

from emulator.raw_client import until
from rebyte_async.emulator import (
    BrokenBody,
    Delay,
    Drop,
    EagerCompletedAt,
    EmptyBody,
    HtmlPage,
    Match,
    ReadLag,
    Redirect,
    Reply,
    Respell,
    Rewrite,
    Status,
    hold,
)

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator, Fault

_CREATE = Match("POST", "/tasks")


async def _total(http: RawClient) -> int:
    return int((await http.call("GET", "/tasks")).json()["total"])


async def test_a_fault_happens_once_by_default(emulator: Emulator, http: RawClient) -> None:
    """The rule counts how often it fired, and the next request gets the right response."""
    rule = emulator.faults.add(Status(500))

    statuses = [(await http.call("GET", "/tasks")).status for _ in range(3)]

    assert (statuses, rule.fired) == ([500, 200, 200], 1)


async def test_faults_are_for_the_requests_that_match(emulator: Emulator, http: RawClient) -> None:
    """The method, the path, the body and `nth` select the requests."""
    emulator.faults.add(Status(500), Match("POST", "/tasks", body="poison", nth=2), times=2)

    prompts = ["poison", "fine", "poison", "more poison", "poison"]
    statuses = [(await http.call("POST", "/tasks", json={"prompt": prompt})).status for prompt in prompts]

    assert statuses == [201, 201, 500, 500, 201]


async def test_faults_can_be_counted_for_each_path(emulator: Emulator, http: RawClient) -> None:
    """With `per_path`, every task has its own count."""
    first, second = await http.create(), await http.create()
    emulator.faults.add(Status(503), Match("GET", "/tasks/[^/]+", per_path=True))

    statuses = [(await http.call("GET", f"/tasks/{task}")).status for task in (first, first, second, second)]

    assert statuses == [503, 200, 503, 200]


async def test_chance_is_the_same_in_every_run(emulator: Emulator, http: RawClient) -> None:
    """A probability selects some requests, the same ones for the same seed."""

    async def statuses() -> list[int]:
        emulator.clear()
        emulator.faults.add(Status(500), Match(probability=0.5), times=None)
        return [(await http.call("GET", "/tasks")).status for _ in range(20)]

    first, second = await statuses(), await statuses()

    assert first == second
    assert set(first) == {200, 500}


async def test_faults_can_be_removed(emulator: Emulator, http: RawClient) -> None:
    """Faults are removed one by one, or all at once."""
    rule = emulator.faults.add(Status(500), times=None)
    emulator.faults.add(Status(502), times=None)
    emulator.faults.remove(rule)
    first = await http.call("GET", "/tasks")
    emulator.faults.clear()
    second = await http.call("GET", "/tasks")

    assert (first.status, second.status, len(emulator.faults)) == (502, 200, 0)


async def test_a_status_has_the_envelope_and_its_headers(emulator: Emulator, http: RawClient) -> None:
    """The status, code, message and headers can be set."""
    emulator.faults.add(Status(429, "slow_down", "Too fast", headers={"Retry-After": "3"}))

    response = await http.call("GET", "/tasks")

    assert (response.status, response.headers["Retry-After"]) == (429, "3")
    assert response.json() == {"error": {"code": "slow_down", "message": "Too fast"}}


@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
async def test_a_status_comes_before_or_after_processing(
    emulator: Emulator, http: RawClient, when: Literal["before", "after"], created: int
) -> None:
    """`before` leaves the state of the service as it was, `after` has changed it."""
    emulator.faults.add(Status(500, when=when), _CREATE)

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, await _total(http)) == (500, created)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
async def test_a_connection_can_break(
    emulator: Emulator, http: RawClient, when: Literal["before", "after"], created: int, reset: bool
) -> None:
    """`before`: nothing was read; `after`: the request was processed and the response is lost."""
    emulator.faults.add(Drop(when, reset), _CREATE)

    with pytest.raises(aiohttp.ClientConnectionError):
        await http.call("POST", "/tasks", json={"prompt": "x"})

    record = emulator.log[0]
    assert (record.status, record.ended, len(record.faults)) == (None, True, 1)
    assert bool(record.body) == (when == "after")
    assert await _total(http) == created


async def test_a_gateway_can_respond_with_html(emulator: Emulator, http: RawClient) -> None:
    """The client gets a 503 with HTML, and the request isn't processed."""
    emulator.faults.add(HtmlPage(headers={"Retry-After": "1"}), _CREATE)

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, response.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert b"<html>" in response.body
    assert await _total(http) == 0


@pytest.mark.parametrize(("fault", "body"), [(EmptyBody(), b""), (BrokenBody(b"<oops"), b"<oops")])
async def test_a_body_can_be_wrong(emulator: Emulator, http: RawClient, fault: Fault, body: bytes) -> None:
    """The request is processed and the status right; only the body is wrong."""
    emulator.faults.add(fault, _CREATE)

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, response.body, await _total(http)) == (201, body, 1)


async def test_a_redirect_to_the_same_address(emulator: Emulator, http: RawClient) -> None:
    """A client that follows it gets the response."""
    emulator.faults.add(Redirect(308))

    response = await http.call("GET", "/tasks?limit=3")

    assert (response.status, response.json()["limit"], len(emulator.log)) == (200, 3, 2)


async def test_a_redirect_to_another_origin(emulator: Emulator, http: RawClient) -> None:
    """The other origin serves a redirected request without a key, and the log shows whether one came."""
    emulator.faults.add(Redirect(302, origin="storage"), Match("GET", "/tasks"))
    redirect = await http.call("GET", "/tasks", allow_redirects=False)

    response = await http.call("GET", redirect.headers["Location"], headers={})

    assert redirect.status == 302
    assert (response.status, response.json()["total"]) == (200, 0)
    assert [(record.origin, record.key is None) for record in emulator.log] == [("api", False), ("storage", True)]


async def test_a_redirect_to_anywhere(emulator: Emulator, http: RawClient) -> None:
    """The whole location can be set."""
    emulator.faults.add(Redirect(301, to="http://127.0.0.1:9/elsewhere"))

    response = await http.call("GET", "/tasks", allow_redirects=False)

    assert (response.status, response.headers["Location"]) == (301, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_response_can_be_late(emulator: Emulator, http: RawClient, when: Literal["before", "after"]) -> None:
    """A late response is the right one."""
    emulator.faults.add(Delay(0.001, when))

    assert await _total(http) == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_request_with_a_late_response_is_processed(
    emulator: Emulator, http: RawClient, when: Literal["before", "after"]
) -> None:
    """A client that gives up doesn't undo its request."""
    emulator.faults.add(Delay(0.2, when), _CREATE)

    call = asyncio.create_task(http.call("POST", "/tasks", json={"prompt": "x"}))
    while not emulator.log:  # the request has reached the emulator
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def created() -> bool:
        return await _total(http) == 1

    await until(created)
    assert emulator.log[0].path == "/tasks"


async def test_a_new_task_can_be_invisible_for_some_reads(emulator: Emulator, http: RawClient) -> None:
    """Each path of each task lags separately."""
    emulator.faults.add(ReadLag(), times=2)
    task_id = await http.create()

    statuses = [(await http.call("GET", f"/tasks/{task_id}")).status for _ in range(3)]
    stream = await http.call("GET", f"/tasks/{task_id}/events")

    assert statuses == [404, 404, 200]
    assert (stream.status, stream.code) == (404, "not_found")


async def test_a_running_prompt_can_look_completed(emulator: Emulator, http: RawClient) -> None:
    """The `completedAt` of a running prompt can equal its `submittedAt`."""
    emulator.script(hold())
    emulator.faults.add(EagerCompletedAt(), times=None)

    task = await http.task(await http.create())

    prompt = task["prompts"][0]
    assert (task["status"], prompt["completedAt"]) == ("running", prompt["submittedAt"])


async def test_a_status_can_be_spelled_differently(emulator: Emulator, http: RawClient) -> None:
    """The responses and the done frame have the other spelling."""
    emulator.script(hold())
    emulator.faults.add(Respell(), times=None)
    task_id = await http.create()

    canceled = await http.call("POST", f"/tasks/{task_id}/cancel")
    task, frames = await http.task(task_id), await http.frames(task_id)

    assert canceled.json()["status"] == "cancelled"
    assert (task["status"], task["prompts"][0]["status"]) == ("cancelled", "cancelled")
    assert frames[-1].data["status"] == "cancelled"


async def test_a_response_can_be_rewritten(emulator: Emulator, http: RawClient) -> None:
    """The JSON can be changed, such as by removing a field."""

    def without_workspace(task: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in task.items() if name != "workspaceId"}

    emulator.faults.add(Rewrite(without_workspace), _CREATE)

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, "workspaceId" in response.json()) == (201, False)


async def test_a_response_can_be_made_up(emulator: Emulator, http: RawClient) -> None:
    """The request isn't processed, like a cancel that is lost."""
    emulator.script(hold())
    emulator.faults.add(Reply({"status": "canceled"}), Match("POST", ".*/cancel"))
    task_id = await http.create()

    response = await http.call("POST", f"/tasks/{task_id}/cancel")

    assert (response.status, response.json()) == (200, {"status": "canceled"})
    assert (await http.task(task_id))["status"] == "running"


async def test_a_fault_that_fails_fails_the_check(emulator: Emulator, http: RawClient) -> None:
    """The client gets a 500, and `check` raises the error."""

    def broken(data: Any) -> Any:
        raise LookupError(data)

    rule = emulator.faults.add(Rewrite(broken), times=None)
    assert list(emulator.faults) == [rule]

    response = await http.call("GET", "/tasks")

    assert (response.status, response.code) == (500, "internal_error")
    with pytest.raises(ExceptionGroup):
        emulator.check()


async def test_several_faults_can_trouble_one_request(emulator: Emulator, http: RawClient) -> None:
    """All that fired are in the log, the outermost first."""
    faults: list[Fault] = [Delay(0.001), Status(502, when="after")]
    for fault in faults:
        emulator.faults.add(fault, _CREATE)

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, await _total(http)) == (502, 1)
    assert emulator.log[0].faults == tuple(faults)
