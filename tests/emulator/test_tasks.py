"""Tasks: created, listed, read, canceled, shared and deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async.emulator import fail, hold, succeed, text

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_create_returns_the_documented_fields(http: RawClient) -> None:
    """The response has exactly the contract's fields, and no prompt id."""
    response = await http.call("POST", "/tasks", json={"prompt": "Build a REST API", "unknown": 1})

    task = response.json()
    assert response.status == 201
    assert set(task) == {"id", "workspaceId", "url", "status", "createdAt"}
    assert task["status"] == "running"
    assert _UUID.fullmatch(task["id"])
    assert _UUID.fullmatch(task["workspaceId"])
    assert _TIME.fullmatch(task["createdAt"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": ""},
        {"prompt": None},
        {"prompt": 7},
        {"prompt": ["x"]},
        {"prompt": "x" * 100_001},
        {"prompt": "half \ud800"},
        {"prompt": "x", "executor": None},
        {"prompt": "x", "model": 4},
        {"prompt": "x", "workspaceId": "not-a-uuid"},
        {"prompt": "x", "workspaceId": True},
        {"prompt": "x", "skills": "pdf"},
        {"prompt": "x", "skills": [1]},
        {"prompt": "x", "files": {}},
        {"prompt": "x", "files": ["a.txt"]},
        {"prompt": "x", "files": [{"id": "1"}]},
        {"prompt": "x", "files": [{"filename": "a.txt"}]},
        {"prompt": "x", "githubUrl": "owner"},
        {"prompt": "x", "branchName": ""},
        [],
        "x",
        None,
    ],
)
async def test_invalid_tasks_are_refused(http: RawClient, body: Any) -> None:
    """Every invalid field gets a 400 with the code `validation_error`, and no task is created."""
    response = await http.call("POST", "/tasks", json=body)

    assert (response.status, response.code) == (400, "validation_error")
    assert (await http.call("GET", "/tasks")).json()["total"] == 0


async def test_a_body_must_be_declared_as_json(http: RawClient) -> None:
    """Another content type is refused, and so is a body that isn't JSON."""
    as_text = await http.call("POST", "/tasks", data=b'{"prompt": "x"}')
    broken = await http.call("POST", "/tasks", data=b"{", headers=_json_headers(http))

    assert as_text.code == "validation_error"
    assert broken.code == "validation_error"


async def test_the_longest_prompt_is_accepted(http: RawClient) -> None:
    """100,000 characters are allowed, however many bytes they take."""
    response = await http.call("POST", "/tasks", json={"prompt": "\N{SNOWMAN}" * 100_000})

    assert response.status == 201


async def test_a_workspace_can_be_used_again(http: RawClient) -> None:
    """A task runs in the workspace of another; an unknown workspace isn't found."""
    first = (await http.call("POST", "/tasks", json={"prompt": "x"})).json()

    second = await http.call("POST", "/tasks", json={"prompt": "y", "workspaceId": first["workspaceId"]})
    lost = await http.call("POST", "/tasks", json={"prompt": "y", "workspaceId": _NOBODY})

    assert second.json()["workspaceId"] == first["workspaceId"]
    assert (lost.status, lost.code) == (404, "not_found")


async def test_a_task_without_a_script_completes(http: RawClient) -> None:
    """The default script is played, and the task completes."""
    task_id = await http.create("Say hello\nplease")
    assert (await http.task(task_id))["finalResult"] is None

    frames = await http.frames(task_id)
    task = await http.task(task_id)

    assert {frame.data["eventType"] for frame in frames[:-1]} == {
        "init",
        "thinking",
        "text",
        "tool_use",
        "tool_result",
        "result",
    }
    assert (task["status"], task["finalResult"], task["title"]) == ("completed", "Done: Say hello", "Say hello")
    assert task["prompts"][0]["status"] == "succeeded"
    assert task["completedAt"] == task["prompts"][0]["completedAt"]


async def test_a_failed_turn_fails_its_task(emulator: Emulator, http: RawClient) -> None:
    """A task's status is how its latest prompt ended."""
    emulator.script(text("Trying"), fail("No disk left"))
    task_id = await http.create()

    frames = await http.frames(task_id)
    task = await http.task(task_id)

    assert frames[-1].data == {"status": "failed", "lastSeq": 1, "finalResult": "No disk left"}
    assert (task["status"], task["prompts"][0]["status"]) == ("failed", "failed")


async def test_listings_are_pages_with_the_newest_first(http: RawClient) -> None:
    """`limit` and `offset` select, `total` counts all, and a row has the documented fields."""
    created = [await http.create(f"task {number}") for number in range(5)]

    page = (await http.call("GET", "/tasks", params={"limit": "2", "offset": "1"})).json()
    whole = (await http.call("GET", "/tasks")).json()

    assert [row["id"] for row in page["data"]] == [created[3], created[2]]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert [row["id"] for row in whole["data"]] == created[::-1]
    assert (whole["limit"], whole["offset"]) == (50, 0)
    assert set(whole["data"][0]) == {"id", "url", "title", "executor", "model", "createdAt", "completedAt"}


async def test_a_page_beyond_the_end_is_empty(http: RawClient) -> None:
    """An offset that is too large is no error."""
    await http.create()

    page = (await http.call("GET", "/tasks", params={"offset": "7"})).json()

    assert (page["data"], page["total"]) == ([], 1)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=ten", "limit=", "offset=-1", "offset=1.5"])
async def test_a_page_out_of_range_is_refused(http: RawClient, query: str) -> None:
    """`limit` is 1 to 100, `offset` isn't negative."""
    response = await http.call("GET", f"/tasks?{query}")

    assert (response.status, response.code) == (400, "validation_error")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/events", None),
        ("GET", "/content", None),
        ("POST", "/cancel", None),
        ("POST", "/prompts", {"prompt": "x"}),
        ("POST", "/answer", {"messageId": "m", "actionId": 1, "answer": {"selectedOptions": [0]}}),
        ("PATCH", "/visibility", {"visibility": "public"}),
        ("DELETE", "", None),
    ],
)
async def test_a_deleted_task_is_not_found(http: RawClient, method: str, path: str, body: Any) -> None:
    """The delete gets a 204, and every later request for the task a 404."""
    task_id = await http.create()
    deleted = await http.call("DELETE", f"/tasks/{task_id}")

    response = await http.call(method, f"/tasks/{task_id}{path}", json=body)

    assert (deleted.status, deleted.body) == (204, b"")
    assert (response.status, response.code) == (404, "not_found")


async def test_a_deleted_task_leaves_the_listing(http: RawClient) -> None:
    """The others stay, in their order."""
    created = [await http.create() for _ in range(3)]

    await http.call("DELETE", f"/tasks/{created[1]}")
    page = (await http.call("GET", "/tasks")).json()

    assert ([row["id"] for row in page["data"]], page["total"]) == ([created[2], created[0]], 2)


async def test_a_cancel_ends_all_open_prompts(emulator: Emulator, http: RawClient) -> None:
    """An open stream gets a `done` with the status `canceled`, and the task is canceled."""
    emulator.script(text("Working"), hold())
    task_id = await http.create()
    await emulator.reached()
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "and then?"})

    response = await http.call("POST", f"/tasks/{task_id}/cancel")
    frames = await http.frames(task_id)
    task = await http.task(task_id)

    assert response.json() == {"id": task_id, "status": "canceled", "canceledPrompts": 2}
    assert frames[-1].data["status"] == "canceled"
    assert (task["status"], [prompt["status"] for prompt in task["prompts"]]) == ("canceled", ["canceled"] * 2)


async def test_a_cancel_wakes_an_open_stream(emulator: Emulator, http: RawClient) -> None:
    """A client that follows the turn learns of its end at once."""
    emulator.script(text("Working"), hold())
    task_id = await http.create()

    async with http.open(task_id) as response:
        await response.content.readuntil(b"\n\n")
        await http.call("POST", f"/tasks/{task_id}/cancel")
        rest = await response.content.read()

    assert b'"status":"canceled"' in rest


async def test_a_cancel_after_the_end_is_harmless(emulator: Emulator, http: RawClient) -> None:
    """A task that has ended stays as it is."""
    emulator.script(succeed("Done"))
    task_id = await http.create()
    await http.frames(task_id)

    response = await http.call("POST", f"/tasks/{task_id}/cancel")

    assert response.json() == {"id": task_id, "status": "completed", "canceledPrompts": 0}


async def test_only_a_public_task_has_a_share_url(http: RawClient) -> None:
    """Each visibility is returned, and any other value is refused."""
    path = f"/tasks/{await http.create()}/visibility"

    public = (await http.call("PATCH", path, json={"visibility": "public"})).json()
    private = (await http.call("PATCH", path, json={"visibility": "private"})).json()
    wrong = await http.call("PATCH", path, json={"visibility": "secret"})

    assert (public["visibility"], "shareUrl" in public) == ("public", True)
    assert private == {"visibility": "private"}
    assert wrong.code == "validation_error"


def _json_headers(http: RawClient) -> dict[str, str]:
    return {"API_KEY": http.emulator.api_key, "Content-Type": "application/json"}
