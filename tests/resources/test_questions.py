"""Questions: finding the one that waits, and answering it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from attrs import evolve

from rebyte_async import AsyncRebyte, errors
from rebyte_async.emulator import Emulator, Turn, hold, question, tool_result, tool_use
from rebyte_async.emulator import text as says
from rebyte_async.types import Question, QuestionAnswer, QuestionEvent, QuestionOption
from support.clients import client_of
from support.raw_server import RawServer, http_response, json_response

QUESTION = QuestionEvent(
    action_id=7,
    message_id="m1",
    question="Which?",
    options=(QuestionOption("left"), QuestionOption("right", "the other")),
)
SEVERAL = evolve(QUESTION, questions=(*QUESTION.questions, Question("Which color?")))
LEFT, BLUE = QuestionAnswer("left"), QuestionAnswer(text="blue")


def _reply(turn: Turn) -> Any:
    return says(", ".join(f"{list(answer.selected_options)} {answer.custom_response}" for answer in turn.answers))


async def _ask(emulator: Emulator, client: AsyncRebyte, *script: Any) -> tuple[str, QuestionEvent]:
    """Start a task whose agent asks, and return its id and the question once it waits."""
    emulator.script(*script, _reply)
    task = await client.tasks.create("Ask me")
    with anyio.fail_after(10):
        while (found := await client.tasks.pending_question(task.id)) is None:
            await anyio.sleep(0.01)
    return task.id, found


# --- Answers ---


@pytest.mark.parametrize("by_event", [True, False])
async def test_several_questions_are_answered_at_once(
    emulator: Emulator, client: AsyncRebyte, *, by_event: bool
) -> None:
    """Each question gets its answer, with the event and without it; options are named in any of the three ways."""
    asked = question(
        "Which database?",
        "Postgres",
        "SQLite",
        also=[question("Which regions?", "eu", "us", "ap", multi_select=True), question("A name?")],
    )
    task_id, event = await _ask(emulator, client, asked)
    assert [each.question for each in event.questions] == ["Which database?", "Which regions?", "A name?"]
    regions = event.questions[1]
    answers = [QuestionAnswer("SQLite", ""), QuestionAnswer([0, regions.options[2]]), QuestionAnswer(text="shop")]
    await client.tasks.answer(task_id, event if by_event else None, answers=answers)
    assert (await client.tasks.wait(task_id)).final_result == "[1] , [0, 2] None, [] shop"


@pytest.mark.parametrize("answer", [{"options": ["SQLite"]}, {"answers": [QuestionAnswer("SQLite")]}])
async def test_one_question_is_answered_in_the_flat_form(
    emulator: Emulator, client: AsyncRebyte, answer: dict[str, Any]
) -> None:
    """A single question is answered alike by `options` and by `answers`, by those who no longer hold the event too."""
    task_id, _ = await _ask(emulator, client, question("Which database?", "Postgres", "SQLite"))
    await client.tasks.answer(task_id, None, **answer)
    assert (await client.tasks.wait(task_id)).final_result == "[1] None"


async def test_no_answer_is_sent_where_none_is_waited_for(emulator: Emulator, client: AsyncRebyte) -> None:
    """Without a question that waits, the answer is a conflict, as it is when another answer came first."""
    emulator.script(says("No question."))
    task = await client.tasks.create("x")
    await client.tasks.wait(task.id)
    with pytest.raises(errors.ConflictError, match=task.id):
        await client.tasks.answer(task.id, None, text="yes")
    assert not emulator.log.select("POST", "/tasks/[^/]+/answer")


async def test_a_late_answer_is_a_conflict() -> None:
    """A 409 is a conflict, except after a lost response, where the first attempt had succeeded."""

    async def conflict(_: Any) -> bytes:
        return json_response({"message": "nothing waits"}, 409)

    async with RawServer(conflict) as server, client_of(server.url) as client:
        with pytest.raises(errors.ConflictError, match="nothing waits"):
            await client.tasks.answer("t", QUESTION, options=[0])

        async def lost_first(request: Any) -> bytes:
            return http_response(500) if len(server.requests) == 2 else await conflict(request)

        server.handler = lost_first
        await client.tasks.answer("t", QUESTION, options=[0])
        assert len(server.requests) == 3


Answering = Callable[..., Any]


@pytest.mark.parametrize(
    ("event", "given", "words"),
    [
        (QUESTION, {}, "an answer needs options, text, or both"),
        (None, {"text": ""}, "an answer needs options, text, or both"),
        (None, {"options": 5.5}, "must be lists"),
        (None, {"text": 5}, "the text of an answer must be a string"),
        (
            QUESTION,
            {"options": ["middle"]},
            "'middle' is no option of the question 'Which\\?'; it has 0: 'left', 1: 'right'",
        ),
        (QUESTION, {"options": [0, 2]}, "2 is no option"),
        (QUESTION, {"options": [-1]}, "-1 is no option"),
        (QUESTION, {"options": [True]}, "True is no option"),
        (QUESTION, {"options": [QuestionOption("right")]}, "'right'.* is no option"),
        (evolve(QUESTION, action_id=None), {"text": "yes"}, "without an action id"),
        (evolve(QUESTION, message_id=""), {"text": "yes"}, "without an action id"),
        ({"actionId": 7}, {"text": "yes"}, "must be a QuestionEvent, or None"),
        (SEVERAL, {"options": ["left"]}, "asks 2 .'Which\\?', 'Which color\\?'., and there are answers to 1"),
        (SEVERAL, {"answers": [LEFT]}, "asks 2 .*, and there are answers to 1"),
        (SEVERAL, {"answers": [LEFT, BLUE, BLUE]}, "answers to 3"),
        (QUESTION, {"answers": [LEFT, BLUE]}, "asks 1 .*answers to 2"),
        (SEVERAL, {"answers": []}, "answers to 0"),
        (SEVERAL, {"answers": [LEFT, QuestionAnswer()]}, "answer 2 of 2 needs options, text, or both"),
        (SEVERAL, {"answers": [LEFT, "blue"]}, "answer 2 of 2 must be a QuestionAnswer"),
        (SEVERAL, {"answers": [LEFT, QuestionAnswer("blue")]}, "'blue' is no option .*'Which color\\?'; it has none"),
        (SEVERAL, {"answers": [LEFT, BLUE], "options": ["left"]}, "not both"),
        (SEVERAL, {"answers": [LEFT, BLUE], "text": "x"}, "not both"),
        (None, {"answers": 5}, "must be lists"),
    ],
)
async def test_an_answer_that_cannot_be_right_never_leaves(event: Any, given: dict[str, Any], words: str) -> None:
    """An answer that doesn't fit its question raises an error that says what was given and what is possible."""

    async def handler(_: Any) -> bytes:
        return json_response({})

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match=words):
            await client.tasks.answer("t", event, **given)
        assert not server.requests


async def test_an_option_is_answered_by_the_index_that_the_server_knows() -> None:
    """An entry that can't be read shifts no index."""
    options = [{"label": "a"}, {"description": "no label"}, {"label": "c"}]
    payload = {"actionId": "7", "messageId": "m", "question": "q", "options": options}
    events = [{"seq": 1, "eventType": "ask_user_question", "payload": payload}]
    content = {"id": "t", "prompts": [{"id": "p", "status": "running", "events": events}]}

    async def handler(request: Any) -> bytes:
        return json_response(content if request.method == "GET" else {})

    async with RawServer(handler) as server, client_of(server.url) as client:
        for given in ("c", 1, QuestionOption("c")):
            await client.tasks.answer("t", None, options=[given])
    assert [each.json["answer"] for each in server.seen("POST")] == [{"selectedOptions": [2]}] * 3


# --- The question that waits ---


async def test_the_waiting_question_is_found_and_gone_once_answered(emulator: Emulator, client: AsyncRebyte) -> None:
    """It is the event that the stream delivers; after the answer, none waits until the next one is asked."""
    task_id, event = await _ask(
        emulator, client, question("First?", "a"), says("Hm."), hold(), question("Second?", "b")
    )
    async with client.tasks.events(task_id) as stream:
        assert await anext(stream) == event
    await client.tasks.answer(task_id, None, options=["a"])
    await emulator.reached()
    assert await client.tasks.pending_question(task_id) is None
    emulator.release()
    with anyio.fail_after(10):
        while (second := await client.tasks.pending_question(task_id)) is None:
            await anyio.sleep(0.01)
    assert second.question == "Second?"
    await client.tasks.answer(task_id, second, options=["b"])
    await client.tasks.wait(task_id)
    assert await client.tasks.pending_question(task_id) is None


async def test_a_question_waits_while_a_later_turn_is_queued(emulator: Emulator, client: AsyncRebyte) -> None:
    """A prompt that was submitted meanwhile waits for the answer too."""
    task_id, event = await _ask(emulator, client, question("First?", "a"))
    await client.tasks.prompt(task_id, "And then?")
    assert await client.tasks.pending_question(task_id) == event


ASK = {"eventType": "ask_user_question", "payload": {"actionId": 7, "messageId": "m", "question": "q"}}


def _event(event_type: str, **payload: Any) -> dict[str, Any]:
    return {"eventType": event_type, "payload": payload}


SAY = _event("text", content="x")
CALL = _event("tool_use", id="call", name="AskUserQuestion")
OTHER = _event("tool_use", id="other", name="Bash")


@pytest.mark.parametrize(
    ("events", "status", "waits"),
    [
        ([SAY, ASK], "running", True),
        ([SAY, ASK], "pending", True),
        ([SAY, ASK], None, True),
        ([SAY, ASK], "succeeded", False),
        ([SAY, ASK], "Canceled", False),
        ([SAY], "running", False),
        (None, "running", False),
        ([ASK, SAY], "running", False),
        ([ASK, _event("thinking", content="x")], "running", False),
        ([ASK, _event("result", result="x")], "running", False),
        ([ASK, OTHER], "running", False),
        ([CALL, ASK, _event("tool_result", id="call")], "running", False),
        ([OTHER, CALL, ASK, _event("tool_result", id="other")], "running", True),
        ([OTHER, CALL, ASK, _event("tool_result", id="other"), _event("tool_result", id="call")], "running", False),
        ([ASK, _event("tool_result", id="call")], "running", False),
        ([ASK, _event("heartbeat"), _event("error", message="x")], "running", True),
        ([ASK, SAY, ASK], "running", True),
        ([ASK, SAY], "blocked_user_answer_required", True),
        ([SAY], "blocked_user_answer_required", False),
    ],
)
async def test_which_question_waits(events: list[Any] | None, status: str | None, *, waits: bool) -> None:
    """A question waits until its turn ends or its agent continues; where the service says that one waits, it does."""
    prompts = [{"id": "p0", "status": "failed", "events": [ASK]}, {"id": "p1", "status": status, "events": events}]

    async def handler(_: Any) -> bytes:
        return json_response({"id": "t", "status": "running", "prompts": prompts})

    async with RawServer(handler) as server, client_of(server.url) as client:
        found = await client.tasks.pending_question("t")
    assert (found is not None) == waits
    assert server.requests[0].target.endswith("/tasks/t/content?include=events")


async def test_tools_that_run_at_the_same_time_end_no_question(emulator: Emulator, client: AsyncRebyte) -> None:
    """The agent's own call for the question is the last one before it."""
    script = (
        tool_use("Bash", {}, tool_id="a"),
        tool_use("Ask", {}, tool_id="b"),
        question("q?", "x"),
        tool_result("ok"),
    )
    task_id, event = await _ask(emulator, client, *script)
    assert event.question == "q?"
    await client.tasks.answer(task_id, None, options=[0])
    assert (await client.tasks.wait(task_id)).final_result == "[0] None"
