"""Faults of requests as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


async def test_a_fault_happens_once_unless_told_otherwise(emulator: Emulator, http: RawClient) -> None:
    """The rule counts how often it fired, and the next request is answered properly."""
    rule = emulator.faults.add(Status(500))

    statuses = [(await http.call("GET", "/tasks")).status for _ in range(3)]

    assert (statuses, rule.fired) == ([500, 200, 200], 1)


async def test_faults_are_for_the_requests_that_match(emulator: Emulator, http: RawClient) -> None:
    """Method, path, body and the place in the order decide."""
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
    """A probability strikes some requests, the same ones for the same seed."""

    async def statuses() -> list[int]:
        emulator.clear()
        emulator.faults.add(Status(500), Match(probability=0.5), times=None)
        return [(await http.call("GET", "/tasks")).status for _ in range(20)]

    first, second = await statuses(), await statuses()

    assert first == second
    assert set(first) == {200, 500}


async def test_faults_can_be_lifted(emulator: Emulator, http: RawClient) -> None:
    """One by one, or all at once."""
    rule = emulator.faults.add(Status(500), times=None)
    emulator.faults.add(Status(502), times=None)
    emulator.faults.remove(rule)
    first = await http.call("GET", "/tasks")
    emulator.faults.clear()
    second = await http.call("GET", "/tasks")

    assert (first.status, second.status, len(emulator.faults)) == (502, 200, 0)


async def test_a_status_has_the_envelope_and_its_headers(emulator: Emulator, http: RawClient) -> None:
    """Any status, code, message and header can be answered."""
    emulator.faults.add(Status(429, "slow_down", "Too fast", headers={"Retry-After": "3"}))

    reply = await http.call("GET", "/tasks")

    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert reply.json() == {"error": {"code": "slow_down", "message": "Too fast"}}


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
async def test_a_status_before_or_after_the_deed(emulator: Emulator, http: RawClient, when: str, made: int) -> None:
    """`before` leaves the service as it was, `after` has it changed."""
    emulator.faults.add(Status(500, when=when), _CREATE)

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, await _total(http)) == (500, made)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
async def test_a_connection_can_break(emulator: Emulator, http: RawClient, when: str, made: int, reset: bool) -> None:
    """`before`: nothing was read; `after`: the deed is done and the answer lost."""
    emulator.faults.add(Drop(when, reset), _CREATE)

    with pytest.raises(aiohttp.ClientConnectionError):
        await http.call("POST", "/tasks", json={"prompt": "x"})

    record = emulator.log[0]
    assert (record.status, record.ended, len(record.faults)) == (None, True, 1)
    assert bool(record.body) == (when == "after")
    assert await _total(http) == made


async def test_a_page_of_a_gateway(emulator: Emulator, http: RawClient) -> None:
    """A 503 with HTML, and nothing was done."""
    emulator.faults.add(HtmlPage(headers={"Retry-After": "1"}), _CREATE)

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, reply.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert b"<html>" in reply.body
    assert await _total(http) == 0


@pytest.mark.parametrize(("fault", "body"), [(EmptyBody(), b""), (BrokenBody(b"<oops"), b"<oops")])
async def test_a_body_can_be_wrong(emulator: Emulator, http: RawClient, fault: Fault, body: bytes) -> None:
    """The deed is done and the status right; only the body isn't."""
    emulator.faults.add(fault, _CREATE)

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, reply.body, await _total(http)) == (201, body, 1)


async def test_a_redirect_to_the_same_address(emulator: Emulator, http: RawClient) -> None:
    """Who follows it gets the answer."""
    emulator.faults.add(Redirect(308))

    reply = await http.call("GET", "/tasks?limit=3")

    assert (reply.status, reply.json()["limit"], len(emulator.log)) == (200, 3, 2)


async def test_a_redirect_to_another_origin(emulator: Emulator, http: RawClient) -> None:
    """It can be read there without a key, and the log shows whether one came."""
    emulator.faults.add(Redirect(302, origin="storage"), Match("GET", "/tasks"))
    redirect = await http.call("GET", "/tasks", allow_redirects=False)

    reply = await http.call("GET", redirect.headers["Location"], headers={})

    assert redirect.status == 302
    assert (reply.status, reply.json()["total"]) == (200, 0)
    assert [(record.origin, record.key is None) for record in emulator.log] == [("api", False), ("storage", True)]


async def test_a_redirect_to_anywhere(emulator: Emulator, http: RawClient) -> None:
    """The location can be given whole."""
    emulator.faults.add(Redirect(301, to="http://127.0.0.1:9/elsewhere"))

    reply = await http.call("GET", "/tasks", allow_redirects=False)

    assert (reply.status, reply.headers["Location"]) == (301, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_answer_can_be_late(emulator: Emulator, http: RawClient, when: str) -> None:
    """It is the right one all the same."""
    emulator.faults.add(Delay(0.001, when))

    assert await _total(http) == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_late_answer_is_to_a_request_that_counts(emulator: Emulator, http: RawClient, when: str) -> None:
    """A client that gives up doesn't undo what it asked for."""
    emulator.faults.add(Delay(0.05, when), _CREATE)

    with pytest.raises(TimeoutError):
        await http.call("POST", "/tasks", json={"prompt": "x"}, timeout=aiohttp.ClientTimeout(total=0.02))

    async def made() -> bool:
        return await _total(http) == 1

    await until(made)
    assert emulator.log[0].path == "/tasks"


async def test_a_new_task_can_be_invisible_for_some_reads(emulator: Emulator, http: RawClient) -> None:
    """Reads lag behind the create, for each task and each way of reading it."""
    emulator.faults.add(ReadLag(), times=2)
    task_id = await http.create()

    statuses = [(await http.call("GET", f"/tasks/{task_id}")).status for _ in range(3)]
    stream = await http.call("GET", f"/tasks/{task_id}/events")

    assert statuses == [404, 404, 200]
    assert (stream.status, stream.code) == (404, "not_found")


async def test_a_running_prompt_can_look_completed(emulator: Emulator, http: RawClient) -> None:
    """`completedAt` equals `submittedAt` while it runs."""
    emulator.script(hold())
    emulator.faults.add(EagerCompletedAt(), times=None)

    task = await http.task(await http.create())

    prompt = task["prompts"][0]
    assert (task["status"], prompt["completedAt"]) == ("running", prompt["submittedAt"])


async def test_a_status_can_be_spelled_otherwise(emulator: Emulator, http: RawClient) -> None:
    """In the answers, and in the stream's last frame."""
    emulator.script(hold())
    emulator.faults.add(Respell(), times=None)
    task_id = await http.create()

    canceled = await http.call("POST", f"/tasks/{task_id}/cancel")
    task, frames = await http.task(task_id), await http.frames(task_id)

    assert canceled.json()["status"] == "cancelled"
    assert (task["status"], task["prompts"][0]["status"]) == ("cancelled", "cancelled")
    assert frames[-1].data["status"] == "cancelled"


async def test_an_answer_can_be_rewritten(emulator: Emulator, http: RawClient) -> None:
    """Any change of the JSON, such as a field that is missing."""

    def without_workspace(task: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in task.items() if name != "workspaceId"}

    emulator.faults.add(Rewrite(without_workspace), _CREATE)

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, "workspaceId" in reply.json()) == (201, False)


async def test_an_answer_can_be_made_up(emulator: Emulator, http: RawClient) -> None:
    """Such as that of a cancel that is lost."""
    emulator.script(hold())
    emulator.faults.add(Reply({"status": "canceled"}), Match("POST", ".*/cancel"))
    task_id = await http.create()

    reply = await http.call("POST", f"/tasks/{task_id}/cancel")

    assert (reply.status, reply.json()) == (200, {"status": "canceled"})
    assert (await http.task(task_id))["status"] == "running"


async def test_a_fault_that_fails_fails_the_check(emulator: Emulator, http: RawClient) -> None:
    """The client gets a 500, the test learns why."""

    def broken(data: Any) -> Any:
        raise LookupError(data)

    rule = emulator.faults.add(Rewrite(broken), times=None)
    assert list(emulator.faults) == [rule]

    reply = await http.call("GET", "/tasks")

    assert (reply.status, reply.code) == (500, "internal_error")
    with pytest.raises(ExceptionGroup):
        emulator.check()


async def test_several_faults_can_trouble_one_request(emulator: Emulator, http: RawClient) -> None:
    """All that fired are in the log, the outermost first."""
    faults: list[Fault] = [Delay(0.001), Status(502, when="after")]
    for fault in faults:
        emulator.faults.add(fault, _CREATE)

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, await _total(http)) == (502, 1)
    assert emulator.log[0].faults == tuple(faults)
