"""Events decoded from the data of frames: golden files, strictness, tolerance, and the event objects."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async._wire.events import decode_done, decode_event, event_from_mapping
from rebyte_async._wire.json import Backend
from rebyte_async.errors import DecodeError
from rebyte_async.types import events
from rebyte_async.types.events import (
    Done,
    ErrorEvent,
    QuestionEvent,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
)
from rebyte_async.types.questions import Question, QuestionOption
from rebyte_async.types.statuses import TaskStatus

WIRE = Path(__file__).parent / "events"
GOLDEN = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(WIRE.glob("*.json"))}
EVENTS = {name: golden for name, golden in GOLDEN.items() if "event" in golden}
DONES = {name: golden for name, golden in GOLDEN.items() if "done" in golden}
KNOWN = {golden["data"]["eventType"] for golden in EVENTS.values()} - {"hologram", "heartbeat"}


def text(**payload: Any) -> dict[str, Any]:
    """Make the JSON of a text event."""
    return {"eventType": "text", "payload": payload}


def expected(golden: dict[str, Any]) -> TaskEvent:
    """Make the event of a golden file by the public constructor."""
    data = golden["data"]
    fields = dict(golden["event"]["fields"])
    if "options" in fields:
        fields["options"] = tuple(QuestionOption(**option) for option in fields["options"])
    if "questions" in fields:
        fields["questions"] = tuple(
            Question(
                each["question"], tuple(QuestionOption(**option) for option in each["options"]), each["multi_select"]
            )
            for each in fields["questions"]
        )
    cls: type[TaskEvent] = getattr(events, golden["event"]["class"])
    return cls(
        seq=data["seq"],
        event_type=data["eventType"],
        prompt_id=data["promptId"],
        event_key=data.get("eventKey"),
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
        payload=data.get("payload", {}),
        **fields,
    )


# --- golden files ---


@pytest.mark.parametrize("golden", EVENTS.values(), ids=EVENTS)
def test_golden_event(golden: dict[str, Any], backend: Backend) -> None:
    """Each golden event becomes an object of its class, the same one from bytes, from text and from a mapping."""
    wanted = expected(golden)
    document = json.dumps(golden["data"], ensure_ascii=False)
    for event in (
        decode_event(document, backend),
        decode_event(document.encode(), backend),
        event_from_mapping(golden["data"]),
    ):
        assert type(event) is type(wanted)
        assert event == wanted
        assert repr(event) == repr(wanted)
        assert event.payload == golden["data"].get("payload", {})


@pytest.mark.parametrize("golden", DONES.values(), ids=DONES)
def test_golden_done(golden: dict[str, Any], backend: Backend) -> None:
    """Each golden `done` has a task's status, however the stream spells it."""
    document = json.dumps(golden["data"])
    for done in (decode_done(document, backend), decode_done(document.encode(), backend)):
        assert done == Done(**golden["done"])
        assert type(done.status) is TaskStatus


def test_every_golden_file_is_read() -> None:
    """There is a golden file for every type of the contract, and each names its source."""
    assert {"init", "thinking", "text", "assistant", "message", "response", "tool_use", "tool_result", "result"} < KNOWN
    assert "ask_user_question" in KNOWN
    assert len(EVENTS) + len(DONES) == len(GOLDEN)
    assert all(
        "observed" in golden["source"] or "guess" in golden["source"] or "unknown" in golden["source"]
        for golden in GOLDEN.values()
    )


# --- documents that don't fit ---

MISFITS: list[tuple[str, Any]] = [
    ("text", {}),
    ("text", {"content": None}),
    ("text", {"content": 5}),
    ("text", {"content": ["a"]}),
    ("text", {"content": 5, "text": "a"}),
    ("text", {"content": "a", "is_delta": "false"}),
    ("text", {"content": "a", "is_delta": 1}),
    ("assistant", {"content": {"text": "a"}}),
    ("thinking", {"text": "a"}),
    ("thinking", {"thinking": False}),
    ("init", {"session_id": 5}),
    ("init", {"model": ["a"]}),
    ("init", {"cwd": True}),
    ("tool_use", {"id": "a"}),
    ("tool_use", {"name": "a"}),
    ("tool_use", {"id": 1, "name": "a"}),
    ("tool_use", {"id": "a", "name": None}),
    ("tool_use", {"id": "a", "name": "b", "subPromptId": 5}),
    ("tool_result", {"output": "a"}),
    ("tool_result", {"id": 1, "output": "a"}),
    ("tool_result", {"id": "a", "output": "b", "is_error": "false"}),
    ("tool_result", {"id": "a", "output": "b", "subPromptId": {}}),
    ("result", {"result": 5}),
    ("result", {"result": "a", "status": 1}),
    ("result", {"result": "a", "duration_ms": "12"}),
    ("result", {"result": "a", "duration_ms": True}),
    ("result", {"result": "a", "usage": [1]}),
    ("ask_user_question", {"messageId": "a"}),
    ("ask_user_question", {"question": "a"}),
    ("ask_user_question", {"messageId": 1, "question": "a"}),
    ("ask_user_question", {"messageId": "a", "question": "b", "actionId": True}),
    ("ask_user_question", {"messageId": "a", "question": "b", "actionId": 7.0}),
    ("ask_user_question", {"messageId": "a", "question": "b", "options": "c"}),
    ("ask_user_question", {"messageId": "a", "question": 5, "questions": [{"question": "b"}]}),
    ("ask_user_question", {"messageId": "a", "question": "b", "multiSelect": "true"}),
    ("error", {}),
    ("error", {"error": {"code": 5}}),
]


@pytest.mark.parametrize(("event_type", "payload"), MISFITS)
def test_a_payload_that_does_not_fit_is_an_unknown_event(event_type: str, payload: dict[str, Any]) -> None:
    """No value is bent to fit and none is lost: the event keeps its document, under its own type."""
    document = {"seq": 3, "eventType": event_type, "promptId": "p", "eventKey": "k", "payload": payload}
    event = decode_event(json.dumps(document))
    assert event == UnknownEvent(seq=3, event_type=event_type, prompt_id="p", event_key="k", payload=payload)
    assert isinstance(event, UnknownEvent)
    assert event.document == document


@pytest.mark.parametrize("payload", [None, "a", 5, [1], True])
@pytest.mark.parametrize("event_type", [*sorted(KNOWN), "hologram"])
def test_a_payload_that_is_no_object(event_type: str, payload: Any) -> None:
    """An event whose payload is no object has an empty payload and keeps its document."""
    document = {"seq": 3, "eventType": event_type, "payload": payload, "extra": 1}
    event = decode_event(json.dumps(document))
    assert event == UnknownEvent(seq=3, event_type=event_type, payload={})
    assert isinstance(event, UnknownEvent)
    assert event.document == document


@pytest.mark.parametrize("wrong", ["3", 3.0, True, None, [3], {}])
def test_wrong_common_fields_are_none(wrong: Any) -> None:
    """A common field with a wrong type is None, and the event is still delivered."""
    document = text(content="a") | {
        "seq": wrong,
        "promptId": 5,
        "eventKey": wrong if wrong != "3" else 3,
        "timestamp": wrong,
    }
    assert decode_event(json.dumps(document)) == TextEvent(event_type="text", text="a", payload={"content": "a"})
    document["eventType"] = "hologram"
    assert decode_event(json.dumps(document)) == UnknownEvent(event_type="hologram", payload={"content": "a"})


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ("", "$"),
        ("<html>", "$"),
        ("{", "$"),
        ('{"eventType": "text"} x', "$"),
        ('{"eventType": "text", "seq": NaN}', "$"),
        ("[" * 100_000, "$"),
        ("null", "$"),
        ('"text"', "$"),
        ("[]", "$"),
        ("{}", "$.eventType"),
        ('{"eventType": null}', "$.eventType"),
        ('{"eventType": 5, "payload": {}}', "$.eventType"),
        ('{"eventType": ["text"], "payload": {}}', "$.eventType"),
    ],
)
def test_data_that_is_no_event(data: str, path: str, backend: Backend) -> None:
    """Data that is no JSON object with an eventType is an error: it says where, and keeps the beginning of the data."""
    for raw in (data, data.encode()):
        with pytest.raises(DecodeError) as caught:
            decode_event(raw, backend)
        assert caught.value.path == path
        body = caught.value.body
        assert body is not None
        assert body.replace(" ", "") == data[:2000].replace(" ", "")
        assert pickle.loads(pickle.dumps(caught.value)).body == body


def test_the_error_of_a_mapping() -> None:
    """A mapping without an eventType raises a `DecodeError` with the place, and the beginning of the mapping."""
    with pytest.raises(DecodeError, match="eventType") as caught:
        event_from_mapping({"payload": {"content": "é" * 5000}})
    assert caught.value.path == "$.eventType"
    assert caught.value.body is not None
    assert len(caught.value.body) == 2000


@pytest.mark.parametrize("data", ["", "[]", "null", "done", '{"status": NaN}'])
def test_data_that_is_no_done(data: str, backend: Backend) -> None:
    """A `done` that is no JSON object is an error."""
    with pytest.raises(DecodeError):
        decode_done(data, backend)


@pytest.mark.parametrize(
    ("document", "done"),
    [
        ({}, Done(status=cast("TaskStatus", ""))),
        ({"status": "error"}, Done(status=TaskStatus.FAILED)),
        ({"status": "timed_out"}, Done(status=cast("TaskStatus", "timed_out"))),
        ({"status": "Succeeded"}, Done(status=TaskStatus.COMPLETED)),
        ({"status": "CANCELLED"}, Done(status=TaskStatus.CANCELED)),
        ({"status": None}, Done(status=cast("TaskStatus", ""))),
        ({"status": ["succeeded"]}, Done(status=cast("TaskStatus", ""))),
        ({"status": "running"}, Done(status=cast("TaskStatus", "running"))),
        (
            {"status": "succeeded", "lastSeq": "5", "finalResult": {"a": 1}, "x": 1},
            Done(status=TaskStatus.COMPLETED),
        ),
        ({"status": "succeeded", "lastSeq": True}, Done(status=TaskStatus.COMPLETED)),
        ({"status": "succeeded", "lastSeq": 3.0}, Done(status=TaskStatus.COMPLETED)),
    ],
)
def test_a_done_with_gaps(document: dict[str, Any], done: Done) -> None:
    """A missing or wrong field of a `done` is None or empty; an unknown status stays, and means no end by itself."""
    assert decode_done(json.dumps(document)) == done


# --- single fields ---


def test_null_is_absent() -> None:
    """Null counts as absent: the next spelling of the field is tried, then the default holds."""
    document = {"id": None, "tool_id": "t", "name": None, "tool_name": "n", "input": None, "subPromptId": None}
    event = event_from_mapping({"eventType": "tool_use", "payload": document})
    assert event == ToolUseEvent(event_type="tool_use", tool_id="t", name="n", input={}, payload=document)
    document = {"id": "t", "output": None, "content": None, "is_error": None}
    event = event_from_mapping({"eventType": "tool_result", "payload": document})
    assert event == ToolResultEvent(event_type="tool_result", tool_id="t", output=None, payload=document)
    document = {"result": None, "status": None, "duration_ms": None, "usage": None}
    event = event_from_mapping({"eventType": "result", "payload": document})
    assert event == ResultEvent(event_type="result", text="", payload=document)
    document = {"content": None, "text": "a", "is_delta": None}
    assert event_from_mapping(text(**document)) == TextEvent(event_type="text", text="a", payload=document)


def test_falsy_values_are_values() -> None:
    """An empty string, zero, an empty list and false are values, not absence."""
    event = event_from_mapping(text(content="", text="b", is_delta=False))
    assert isinstance(event, TextEvent)
    assert event.text == ""
    outputs: list[Any] = ["", 0, [], {}, False, 1.5, "null"]
    for output in outputs:
        event = decode_event(json.dumps({"eventType": "tool_result", "payload": {"id": "t", "output": output}}))
        assert isinstance(event, ToolResultEvent)
        assert event.output == output
        assert type(event.output) is type(output)


@pytest.mark.parametrize("arguments", ["ls", [1], 5, False, {"command": "ls"}])
def test_arguments_of_a_tool_are_kept(arguments: Any) -> None:
    """The arguments of a tool are any JSON, kept as it came."""
    event = event_from_mapping({"eventType": "tool_use", "payload": {"id": "t", "name": "n", "arguments": arguments}})
    assert isinstance(event, ToolUseEvent)
    assert event.input is arguments


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("7", 7),
        (7, 7),
        ("0", 0),
        ("", None),
        (None, None),
        ("abc", None),
        ("7.0", None),
        (" 7", None),
        ("7_0", None),
        ("\u0667", None),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("9" * 5000, None),
    ],
)
def test_action_ids(value: Any, wanted: int | None) -> None:
    """A question's action id is a number or a string of at most 18 digits; any other string becomes None."""
    payload = {"actionId": value, "messageId": "m", "question": "q"}
    event = event_from_mapping({"eventType": "ask_user_question", "payload": payload})
    assert event == QuestionEvent(
        event_type="ask_user_question", action_id=wanted, message_id="m", question="q", payload=payload
    )


UNREADABLE: list[Any] = ["c", None, 5, [], {}, {"label": 1}, {"label": None}, {"description": "d"}]


def ask(**payload: Any) -> QuestionEvent:
    """Decode a question with these fields in its payload."""
    payload = {"actionId": 1, "messageId": "m", **payload}
    event = decode_event(json.dumps({"eventType": "ask_user_question", "payload": payload}))
    assert isinstance(event, QuestionEvent)
    return event


@given(
    entries=st.lists(
        st.one_of(st.sampled_from(UNREADABLE), st.integers(0, 9).map(lambda number: {"label": f"o{number}"}))
    ),
    is_second=st.booleans(),
)
def test_an_option_that_cannot_be_read_is_left_out_alone(entries: list[Any], *, is_second: bool) -> None:
    """The other options remain, in order, and each is still answered by its index in the server's list."""
    if is_second:
        question = ask(question="q", questions=[{"question": "a"}, {"question": "b", "options": entries}]).questions[1]
    else:
        event = ask(question="q", options=entries)
        (question,) = event.questions
        assert question.options == event.options
    readable = [index for index, entry in enumerate(entries) if entry not in UNREADABLE]
    assert [option.label for option in question.options] == [entries[index]["label"] for index in readable]
    assert [question.index_of(place) for place in range(len(readable))] == readable
    again = pickle.loads(pickle.dumps(question))
    assert [again.index_of(place) for place in range(len(readable))] == readable


@pytest.mark.parametrize(
    "questions", [None, [], "x", {}, [{}], ["x"], [{"question": "other", "options": [{"label": "c"}]}]]
)
def test_a_single_question_is_that_of_the_payload(questions: Any) -> None:
    """Without several entries, the fields of the payload itself are the only question."""
    event = ask(question="q", options=[{"label": "a"}, {"label": "b"}], multiSelect=True, questions=questions)
    options = (QuestionOption("a"), QuestionOption("b"))
    assert event.questions == (Question("q", options, multi_select=True),)
    assert (event.question, event.options, event.multi_select) == ("q", options, True)


@pytest.mark.parametrize("missing", [{}, {"question": None, "options": None, "multiSelect": None}, {"options": []}])
def test_what_the_payload_leaves_out_is_in_its_first_entry(missing: dict[str, Any]) -> None:
    """A question that only `questions` has is read from there."""
    entry = {"question": "q", "options": [{"label": "a"}], "multiSelect": True}
    event = ask(**missing, questions=[entry])
    assert event.questions == (Question("q", (QuestionOption("a"),), multi_select=True),)
    assert (event.question, event.options, event.multi_select) == ("q", (QuestionOption("a"),), True)
    assert ask(**missing, questions=[entry, {"question": "r"}]).question == "q"


def test_a_question_that_cannot_be_read_keeps_its_place() -> None:
    """Answers are given in the order of the questions, so none may be missing among them."""
    event = ask(question="q", questions=[{"question": "q"}, "x", {"question": 5, "options": "y", "multiSelect": "z"}])
    assert event.questions == (Question("q"), Question(""), Question(""))


@pytest.mark.parametrize("payload", [{"error": "e"}, {"content": "e"}, {"error": {"code": "x", "message": "e"}}])
def test_error_messages_in_other_fields(payload: dict[str, Any]) -> None:
    """The message of an error event is found in each of the fields that may have it."""
    event = event_from_mapping({"eventType": "error", "payload": payload})
    assert event == ErrorEvent(event_type="error", message="e", payload=payload)


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456+02:00", datetime(2026, 1, 2, 3, 4, 5, 123456, timezone(timedelta(hours=2)))),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        ("2026-13-02T03:04:05Z", None),
        (1767323045678, None),
        (None, None),
    ],
)
def test_timestamps_are_aware_or_none(stamp: Any, moment: datetime | None) -> None:
    """A timestamp is an aware datetime, UTC where no zone is named, or None when it can't be read."""
    for document in (text(content="a"), {"eventType": "hologram"}):
        event = event_from_mapping(document | {"timestamp": stamp})
        assert event.timestamp == moment
        assert moment is None or (event.timestamp is not None and event.timestamp.utcoffset() == moment.utcoffset())


def test_the_payload_is_not_copied() -> None:
    """The payload is the object of the document itself, unknown fields included."""
    document = text(content="a", new={"b": [1, None]})
    assert event_from_mapping(document).payload is document["payload"]


# --- event objects ---


@pytest.mark.parametrize("golden", EVENTS.values(), ids=EVENTS)
def test_events_are_values(golden: dict[str, Any]) -> None:
    """A decoded event compares and hashes by value, and survives pickling, copying and evolving as its own class."""
    data = json.dumps(golden["data"])
    event = decode_event(data)
    assert hash(event) == hash(decode_event(data)) == hash(expected(golden))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    for again in (copy.copy(event), copy.deepcopy(event), attrs.evolve(event)):
        assert type(again) is type(event)
        assert again == event
    assert attrs.evolve(event, seq=99) != event
    assert [field.name for field in attrs.fields(type(event))][:6] == [
        "seq", "event_type", "prompt_id", "event_key", "timestamp", "payload",
    ]  # fmt: skip


@pytest.mark.parametrize("golden", EVENTS.values(), ids=EVENTS)
def test_events_are_frozen(golden: dict[str, Any]) -> None:
    """No field of a decoded event can be set or deleted, and none can be added."""
    event = decode_event(json.dumps(golden["data"]))
    before = repr(event)
    for name in [field.name for field in attrs.fields(type(event))] + ["other"]:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(event, name, 1)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(event, name)
    assert repr(event) == before
    assert not hasattr(event, "__dict__")


def test_events_match() -> None:
    """A match statement takes an event apart by its class and its fields."""
    seen: list[str] = []
    for name in ("text", "assistant", "tool_use", "unknown", "thinking"):
        match decode_event(json.dumps(EVENTS[name]["data"])):
            case TextEvent(text=words, event_type="assistant"):
                seen.append(f"assistant {words}")
            case TextEvent(text=words, is_delta=False):
                seen.append(f"text {words}")
            case ToolUseEvent(name=tool, input={"command": command}):
                seen.append(f"{tool} {command}")
            case UnknownEvent(event_type=kind, payload={"shape": shape}):
                seen.append(f"{kind} {shape}")
            case TaskEvent():
                seen.append("other")
    assert seen == ["text Done: 漢字 🎉", "assistant Done.", "Bash ls -la", "hologram cube", "other"]


@pytest.mark.parametrize("inside", ["[" * 300 + "]" * 300, '{"a":"\\ud800","b":' + str(2**80) + "}"])
def test_a_document_that_cannot_be_written(inside: str) -> None:
    """A document without an eventType that can't be written as JSON again raises a `DecodeError` without an excerpt."""
    with pytest.raises(DecodeError, match="eventType"):
        decode_event(f'{{"x": {inside}}}')


def test_an_error_of_an_event_that_cannot_be_written_has_no_body() -> None:
    """An event without a type that is nested too deeply for JSON is a `DecodeError` like any other."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(DecodeError, match="no eventType") as caught:
        event_from_mapping({"eventType": 7, "payload": nested})
    assert caught.value.body == ""
