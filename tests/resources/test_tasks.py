"""Every task endpoint against its golden request and response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from rebyte_async import errors
from rebyte_async.types import (
    FileRef,
    Health,
    Page,
    Prompt,
    PromptContent,
    Question,
    QuestionAnswer,
    QuestionEvent,
    QuestionOption,
    Task,
    TaskContent,
    TaskStatus,
    TextEvent,
    Visibility,
    VisibilitySetting,
)
from support.clients import client_of
from support.golden import Call, assert_golden
from support.raw_server import RawServer, http_response, json_response

TASK_ID = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0001"
WORKSPACE_ID = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0002"
PROMPT_ID = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0003"
TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
SPEC = FileRef("f1", "spec-1.md")
QUESTION = QuestionEvent(
    event_type="ask_user_question",
    action_id=7,
    message_id="m1",
    question="Which?",
    options=(QuestionOption("left"), QuestionOption("right", "the other")),
)
SEVERAL = evolve(QUESTION, questions=(*QUESTION.questions, *QUESTION.questions, Question("Which color?")))
SUB_EVENT = TextEvent(
    seq=1,
    event_type="text",
    prompt_id=PROMPT_ID,
    event_key="k1",
    timestamp=TIME,
    payload={"content": "sub"},
    text="sub",
)

CASES: dict[str, tuple[Call, Any]] = {
    "create_task": (
        lambda client: client.tasks.create(
            "Build a REST API",
            executor="codex",
            model="gpt-x",
            workspace_id=WORKSPACE_ID,
            files=[SPEC],
            skills=["pdf", "github:o/r#s"],
            github_url="o/r",
            branch_name="dev",
        ),
        Task(
            id=TASK_ID,
            workspace_id=WORKSPACE_ID,
            url=f"https://app.invalid/run/{TASK_ID}",
            status=TaskStatus.RUNNING,
            created_at=TIME,
        ),
    ),
    "list_tasks": (
        lambda client: client.tasks.list(),
        Page(
            (Task(id=TASK_ID, url="u", title="Build", executor="claude", model="m", created_at=TIME),),
            total=1,
            limit=50,
            offset=0,
        ),
    ),
    "get_task": (
        lambda client: client.tasks.get(TASK_ID),
        Task(
            id=TASK_ID,
            url="u",
            title="Build",
            created_at=TIME,
            completed_at=TIME,
            status="completed",
            prompts=(Prompt(id=PROMPT_ID, status="succeeded", submitted_at=TIME, completed_at=TIME),),
            final_result="It works",
        ),
    ),
    "create_prompt": (
        lambda client: client.tasks.prompt(TASK_ID, "And tests", skills=["pdf"], files=[SPEC]),
        Prompt(id=PROMPT_ID),
    ),
    "cancel_task": (lambda client: client.tasks.cancel(TASK_ID), None),
    "set_visibility": (
        lambda client: client.tasks.set_visibility(TASK_ID, Visibility.PUBLIC),
        VisibilitySetting(visibility="public", share_url="https://share.invalid/x"),
    ),
    "delete_task": (lambda client: client.tasks.delete(TASK_ID), None),
    "get_content": (
        lambda client: client.tasks.content(TASK_ID, include_events=True),
        TaskContent(
            id=TASK_ID,
            status="completed",
            prompts=(
                PromptContent(
                    id=PROMPT_ID,
                    status="succeeded",
                    user_prompt="Build",
                    submitted_at=TIME,
                    completed_at=TIME,
                    response="It works",
                    events=(
                        TextEvent(
                            seq=1,
                            event_type="text",
                            prompt_id=PROMPT_ID,
                            payload={"content": "It works"},
                            text="It works",
                        ),
                    ),
                ),
            ),
        ),
    ),
    "list_prompt_events": (lambda client: client.tasks.prompt_events(TASK_ID, PROMPT_ID), (SUB_EVENT,)),
    "answer_question": (
        lambda client: client.tasks.answer(TASK_ID, QUESTION, options=["right"], text="and this"),
        None,
    ),
    "answer_questions": (
        lambda client: client.tasks.answer(
            TASK_ID, SEVERAL, answers=[QuestionAnswer("right"), QuestionAnswer((0, 1), ""), QuestionAnswer(text="blue")]
        ),
        None,
    ),
    "health": (lambda client: client.health(), Health(status="ok")),
}


@pytest.mark.parametrize("name", CASES)
async def test_endpoints_follow_the_contract(name: str) -> None:
    """The request has exactly the contract's fields, and the response becomes the documented value."""
    await assert_golden(name, *CASES[name])


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "$.id"),
        ({"id": None}, "$.id"),
        ({"id": 5.5}, "$.id"),
        ({"id": "t", "url": 5}, "$.url"),
        ({"id": "t", "workspaceId": {"a": 1}}, "$.workspaceId"),
        ({"id": "t", "status": 5}, "$.status"),
        ({"id": "t", "prompts": {}}, "$.prompts"),
        ({"id": "t", "prompts": [{"id": "p"}, {"id": 3.9}]}, "$.prompts[1].id"),
        ({"id": "t", "prompts": [{"id": "p", "status": False}]}, "$.prompts[0].status"),
        ([], "$"),
        ("t", "$"),
        (None, "$"),
    ],
)
async def test_a_wrong_type_is_named_by_its_path(document: Any, path: str) -> None:
    """Values of a wrong type are not converted: null is not "None", 3.9 is not 3, false is not a status."""

    async def handler(_: Any) -> bytes:
        return json_response(document)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError) as caught:
            await client.tasks.get("t")
    assert caught.value.path == path
    assert path in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>", b"{", b"\xff\xfe"])
async def test_a_response_that_is_no_json_is_a_decode_error(body: bytes) -> None:
    """A successful response with an empty or broken body is refused."""

    async def handler(_: Any) -> bytes:
        return http_response(200, body)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError):
            await client.tasks.get("t")


async def test_unknown_statuses_and_times_are_tolerated() -> None:
    """A status, a field or a date that the package doesn't know causes no error."""
    document = {
        "id": "t",
        "status": "hibernating",
        "createdAt": "yesterday",
        "completedAt": 17,
        "prompts": [{"id": "p", "status": "queued", "submittedAt": "2026-01-02T03:04:05"}],
        "new": [],
    }

    async def handler(_: Any) -> bytes:
        return json_response(document)

    async with RawServer(handler) as server, client_of(server.url) as client:
        task = await client.tasks.get("t")
    assert task.status == "hibernating"
    assert not task.is_terminal
    assert (task.created_at, task.completed_at) == (None, None)
    assert task.prompts is not None
    assert task.prompts[0].status == "queued"
    assert task.prompts[0].submitted_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "status", "terminal"),
    [
        ("running", TaskStatus.RUNNING, False),
        ("completed", TaskStatus.COMPLETED, True),
        ("succeeded", TaskStatus.COMPLETED, True),
        ("cancelled", TaskStatus.CANCELED, True),
        ("canceled", TaskStatus.CANCELED, True),
        ("failed", TaskStatus.FAILED, True),
        ("queued", "queued", False),
        ("processing", "processing", False),
    ],
)
def test_statuses_are_read_in_the_tasks_vocabulary(text: str, status: str, *, terminal: bool) -> None:
    """Other spellings, and the statuses of prompts, mean the same."""
    task = Task(id="t", status=text)
    assert task.status is status or task.status == status
    assert task.is_terminal is terminal


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.tasks.create(""),
        lambda client: client.tasks.create("  \n"),
        lambda client: client.tasks.create("x" * 100_001),
        lambda client: client.tasks.create(None),
        lambda client: client.tasks.create("half a pair \ud800"),
        lambda client: client.tasks.create("x", skills="pdf"),
        lambda client: client.tasks.create("x", skills=[""]),
        lambda client: client.tasks.create("x", files=["spec.md"]),
        lambda client: client.tasks.create("x", files=SPEC),
        lambda client: client.tasks.create("x", files=[("spec.md",)]),
        lambda client: client.tasks.create("x", extra=[1]),
        lambda client: client.tasks.create("x", extra={"a": object()}),
        lambda client: client.tasks.create("x", extra={"prompt": ""}),
        lambda client: client.tasks.create("x", extra={"files": []}),
        lambda client: client.tasks.create("x", workspace_id=" "),
        lambda client: client.tasks.create("x", executor=5),
        lambda client: client.tasks.prompt("t", ""),
        lambda client: client.tasks.prompt("..", "x"),
        lambda client: client.tasks.get(""),
        lambda client: client.tasks.get("."),
        lambda client: client.tasks.cancel(".."),
        lambda client: client.tasks.delete(" "),
        lambda client: client.tasks.set_visibility("t", "secret"),
        lambda client: client.tasks.set_visibility("t", None),
        lambda client: client.tasks.list(limit=0),
        lambda client: client.tasks.list(limit=101),
        lambda client: client.tasks.list(limit=True),
        lambda client: client.tasks.list(offset=-1),
        lambda client: client.tasks.content(""),
        lambda client: client.tasks.prompt_events("t", ".."),
        lambda client: client.tasks.pending_question(""),
        lambda client: client.tasks.wait("t", timeout=-1),
        lambda client: client.tasks.wait("", timeout=1),
        lambda client: client.tasks.run(""),
        lambda client: client.tasks.run("x", promt="y"),
        lambda client: client.tasks.run("x", task_id="t", model="m"),
    ],
)
async def test_what_cannot_be_right_never_leaves(call: Callable[[Any], Awaitable[Any]]) -> None:
    """Arguments that can't be right raise a ValueError before any request."""

    async def handler(_: Any) -> bytes:
        return json_response({})

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError) as caught:
            await call(client)
        assert not server.requests
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 400


async def test_the_longest_prompt_is_sent() -> None:
    """The limit of 100,000 counts characters, not bytes."""

    async def handler(_: Any) -> bytes:
        return json_response({"id": "t"}, 201)

    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.tasks.create("ü" * 100_000)
        assert len(server.requests[0].json["prompt"]) == 100_000
