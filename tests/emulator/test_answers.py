"""Questions and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emulator.raw_client import parse, read_frame
from rebyte_async.emulator import Turn, question, text

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator, Step


def _reply(turn: Turn) -> Step:
    return text(f"You chose {turn.answers[0].selected_options} {turn.answers[0].custom_response}")


async def test_an_agent_waits_for_an_answer(emulator: Emulator, http: RawClient) -> None:
    """The question is an event, the agent continues with the answer, and a second answer is refused."""
    emulator.script(question("Which one?", "red", "blue", action_id=7), _reply)
    task_id = await http.create()

    async with http.open(task_id) as stream:
        event = (await read_frame(stream)).data
        answer = _answer(event["payload"]["messageId"], 7, selectedOptions=[1], customResponse="dark")
        first = await http.call("POST", f"/tasks/{task_id}/answer", json=answer)
        second = await http.call("POST", f"/tasks/{task_id}/answer", json=answer)
        frames = parse(await stream.read())

    assert event["eventType"] == "ask_user_question"
    assert event["payload"] == {
        "actionId": "7",
        "messageId": event["payload"]["messageId"],
        "question": "Which one?",
        "options": [{"label": "red"}, {"label": "blue"}],
        "multiSelect": False,
    }
    assert (first.status, second.status) == (200, 409)
    assert frames[0].data["payload"]["content"] == "You chose (1,) dark"


@pytest.mark.parametrize(
    "answer",
    [
        {"selectedOptions": [2]},
        {"selectedOptions": [-1]},
        {"selectedOptions": [0, 1]},
        {"selectedOptions": []},
        {"selectedOptions": [True]},
        {"selectedOptions": "0"},
        {"selectedOptions": [0], "customResponse": 4},
        {"selectedOptions": [0], "customResponse": None},
        {"selectedOptions": [], "customResponse": ""},
        {"customResponse": "without a selection"},
        {"answers": [{"selectedOptions": [0]}]},
        None,
    ],
)
async def test_invalid_answers_are_refused(emulator: Emulator, http: RawClient, answer: Any) -> None:
    """An invalid selection gets a 400, and the question still waits."""
    emulator.script(question("Which one?", "red", "blue", action_id=1, message_id="m"))
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)

    wrong = await http.call(
        "POST", f"/tasks/{task_id}/answer", json={"messageId": "m", "actionId": 1, "answer": answer}
    )
    right = await http.call("POST", f"/tasks/{task_id}/answer", json=_answer("m", 1, selectedOptions=[0]))

    assert (wrong.status, wrong.code) == (400, "validation_error")
    assert right.status == 200


async def test_several_options_can_be_selected_if_the_question_allows_it(emulator: Emulator, http: RawClient) -> None:
    """A question with `multiSelect` accepts more than one index."""
    emulator.script(question("Which?", "red", "blue", multi_select=True, action_id=1, message_id="m"), _reply)
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)
        await http.call("POST", f"/tasks/{task_id}/answer", json=_answer("m", 1, selectedOptions=[0, 1]))
        frames = parse(await stream.read())

    assert frames[0].data["payload"]["content"] == "You chose (0, 1) None"


async def test_an_unused_custom_response_may_be_empty(emulator: Emulator, http: RawClient) -> None:
    """The production client always sends a `customResponse`."""
    emulator.script(question("Which?", "red", action_id=1, message_id="m"), _reply)
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)
        body = _answer("m", 1, selectedOptions=[0], customResponse="")
        assert (await http.call("POST", f"/tasks/{task_id}/answer", json=body)).status == 200
        frames = parse(await stream.read())

    assert frames[0].data["payload"]["content"] == "You chose (0,) "


SEVERAL = question(
    "Which one?", "red", "blue", also=[question("Which?", "a", "b", multi_select=True)], action_id=1, message_id="m"
)
RED, BOTH = {"selectedOptions": [0]}, {"selectedOptions": [0, 1], "customResponse": "both"}


async def test_several_questions_take_an_answer_each(emulator: Emulator, http: RawClient) -> None:
    """The event has all questions, the first also by itself, and the agent gets an answer to each in order."""
    emulator.script(SEVERAL, lambda turn: text(str([list(answer.selected_options) for answer in turn.answers])))
    task_id = await http.create()
    async with http.open(task_id) as stream:
        payload = (await read_frame(stream)).data["payload"]
        body = _answer("m", 1, answers=[RED, BOTH])
        assert (await http.call("POST", f"/tasks/{task_id}/answer", json=body)).status == 200
        frames = parse(await stream.read())

    first = {"question": "Which one?", "options": [{"label": "red"}, {"label": "blue"}], "multiSelect": False}
    second = {"question": "Which?", "options": [{"label": "a"}, {"label": "b"}], "multiSelect": True}
    assert payload == {"actionId": "1", "messageId": "m", **first, "questions": [first, second]}
    assert frames[0].data["payload"]["content"] == "[[0], [0, 1]]"


@pytest.mark.parametrize(
    "answer",
    [
        RED,
        {"answers": [RED]},
        {"answers": [RED, BOTH, BOTH]},
        {"answers": [BOTH, RED]},
        {"answers": [RED, {"selectedOptions": [2]}]},
        {"answers": [RED, {"selectedOptions": [], "customResponse": ""}]},
        {"answers": [RED, None]},
        {"answers": RED},
    ],
)
async def test_several_questions_refuse_another_form(emulator: Emulator, http: RawClient, answer: Any) -> None:
    """The number, the order and the form of the answers are those of the questions, or they get a 400."""
    emulator.script(SEVERAL)
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)

    wrong = await http.call(
        "POST", f"/tasks/{task_id}/answer", json={"messageId": "m", "actionId": 1, "answer": answer}
    )
    right = await http.call("POST", f"/tasks/{task_id}/answer", json=_answer("m", 1, answers=[RED, BOTH]))

    assert (wrong.status, wrong.code) == (400, "validation_error")
    assert right.status == 200


@pytest.mark.parametrize("body", [{"messageId": "other", "actionId": 1}, {"messageId": "m", "actionId": 2}])
async def test_an_answer_to_another_question_is_a_conflict(
    emulator: Emulator, http: RawClient, body: dict[str, Any]
) -> None:
    """The message id and the action id of an answer must be those of the open question."""
    emulator.script(question("Which?", "red", action_id=1, message_id="m"))
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)

    response = await http.call("POST", f"/tasks/{task_id}/answer", json={**body, "answer": {"selectedOptions": [0]}})

    assert response.status == 409


async def test_an_answer_names_its_question(http: RawClient) -> None:
    """An answer needs a message id and an action id."""
    task_id = await http.create()
    answer = {"selectedOptions": [0]}

    for body in ({"messageId": "m", "answer": answer}, {"actionId": 1, "answer": answer}):
        assert (await http.call("POST", f"/tasks/{task_id}/answer", json=body)).code == "validation_error"


@pytest.mark.parametrize("action_id", ["1", 1.0, True, None])
async def test_an_action_id_is_an_integer(http: RawClient, action_id: Any) -> None:
    """The event has the id as a numeric string, the answer must have it as a number."""
    task_id = await http.create()

    response = await http.call("POST", f"/tasks/{task_id}/answer", json=_answer("m", action_id, selectedOptions=[0]))

    assert (response.status, response.code) == (400, "validation_error")


async def test_a_canceled_task_has_no_open_question(emulator: Emulator, http: RawClient) -> None:
    """The question of a turn ends with it."""
    emulator.script(question("Which?", "red", action_id=1, message_id="m"))
    task_id = await http.create()
    async with http.open(task_id) as stream:
        await read_frame(stream)
    await http.call("POST", f"/tasks/{task_id}/cancel")

    response = await http.call("POST", f"/tasks/{task_id}/answer", json=_answer("m", 1, selectedOptions=[0]))

    assert (response.status, response.code) == (409, "conflict")


def _answer(message_id: str, action_id: Any, **answer: Any) -> dict[str, Any]:
    return {"messageId": message_id, "actionId": action_id, "answer": answer}
