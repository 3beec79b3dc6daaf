"""What every value can do: become JSON and come back, and be shown on a line and in a notebook."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest

from rebyte_async import types
from rebyte_async._wire.events import decode_event
from rebyte_async.batch import BatchItem, BatchOutcome, BatchProgress, RunningItem
from rebyte_async.errors import DecodeError
from rebyte_async.types import (
    AgentComputer,
    Artifact,
    Done,
    ErrorEvent,
    InitEvent,
    Page,
    Prompt,
    Question,
    QuestionAnswer,
    QuestionEvent,
    QuestionOption,
    ResultEvent,
    Task,
    TaskEvent,
    TaskResult,
    TaskStatus,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
    UploadUrl,
    Value,
    WebhookEventName,
)
from rebyte_async.webhooks import Receipt, ReceiverStats, WebhookEvent
from support.golden import WIRE

TASK = Task(
    id="t",
    status="succeeded",
    title="<b>bold</b>\nand a second line",
    created_at="2026-01-02T03:04:05.678Z",
    prompts=(Prompt(id="p", status="running"),),
)
EVENTS = [json.loads(path.read_text("utf-8")) for path in sorted((WIRE / "events").glob("*.json"))]
VALUES: list[Value] = [
    TASK,
    AgentComputer(id="c", status="ready", sandbox_api_key="sk_secret", views=[{"id": "v"}]),
    Artifact(filename="a", url="https://s.invalid/?sig=secret"),
    UploadUrl(filename="a", content_type="b", upload_url="https://s.invalid/?sig=secret"),
    TaskResult(task_id="t", status=TaskStatus.FAILED, final_result="x" * 200, text="", events_seen=3),
    Page((TASK,), 3, 1, 0),
    Question("Which?", (QuestionOption("a", "A"),), multi_select=True),
    QuestionAnswer(["a", 1, QuestionOption("b")], "and this"),
    BatchOutcome(key="k", status="failed", error="no", started_at=datetime(2026, 1, 2, tzinfo=UTC)),
    BatchProgress(ended={"completed": 2}, slowest=(RunningItem(key="k", task_id="t", running_for=timedelta(3)),)),
    RunningItem(key="k", task_id="t", running_for=timedelta(seconds=3)),
    Receipt(status=200, event=WebhookEvent(WebhookEventName.TASK_COMPLETED, "t", {"taskId": "t"})),
    ReceiverStats(accepted=2),
    Done(TaskStatus.COMPLETED, 3, "yes"),
]
MADE: list[TaskEvent] = [
    InitEvent(session_id="s", model="m", cwd="/code"),
    ThinkingEvent(text="hm", seq=1),
    TextEvent(text="hi", is_delta=True, timestamp=datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
    ToolUseEvent(tool_id="1", name="Bash", input={"command": "ls"}, sub_prompt_id="sub"),
    ToolResultEvent(tool_id="1", output="a\nb", is_error=True, sub_prompt_id="sub"),
    ResultEvent(text="done", status="ok", duration_ms=1.5, usage={"input_tokens": 1}),
    QuestionEvent(action_id=3, message_id="m", question="?", options=(QuestionOption("a"), QuestionOption("b", "B"))),
    QuestionEvent(
        action_id=3,
        message_id="m",
        question="?",
        questions=(Question("?"), Question("Which?", (QuestionOption("a"),), multi_select=True)),
    ),
    ErrorEvent(message="no"),
    UnknownEvent(event_type="hologram", payload={"shape": "cube"}),
]


def test_every_public_type_is_a_value() -> None:
    """Whatever is exported as a frozen class has the methods of a value."""
    frozen = [kind for name in types.__all__ if inspect.isclass(kind := getattr(types, name)) and attrs.has(kind)]
    assert len(frozen) > 20
    assert [kind.__name__ for kind in frozen if not issubclass(kind, Value)] == []


def test_an_item_can_be_hashed_with_whatever_it_asks_for() -> None:
    """An item of a batch is hashable, also with fields of its own for the body, and pickles."""
    item = BatchItem("k", "Do it", files=["a.csv"], skills=["pdf"], extra={"deep": [1, {"x": None}]})
    assert {item: 1}[pickle.loads(pickle.dumps(item))] == 1


def test_a_model_becomes_json_under_the_names_of_the_api() -> None:
    """Names are the API's, times ISO 8601, members of enums plain strings, and models inside are objects too."""
    assert TASK.to_dict() == {
        "id": "t", "workspaceId": None, "url": None, "title": "<b>bold</b>\nand a second line", "executor": None,
        "model": None, "status": "completed", "createdAt": "2026-01-02T03:04:05.678000+00:00", "completedAt": None,
        "prompts": [{"id": "p", "status": "running", "submittedAt": None, "completedAt": None}], "finalResult": None,
    }  # fmt: skip
    assert type(TASK.to_dict()["status"]) is str
    assert VALUES[-1].to_json() == '{"status":"completed","lastSeq":3,"finalResult":"yes"}'


@pytest.mark.parametrize("value", [*VALUES, *MADE], ids=lambda value: type(value).__name__)
def test_a_value_is_a_value(value: Any) -> None:
    """A value can be hashed, copied and pickled, is written as the JSON of its `to_dict`, and is shown on one line."""
    assert {value: 1}[copy.deepcopy(value)] == 1
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == value
    assert json.loads(value.to_json()) == value.to_dict()
    assert repr(value).startswith(f"{type(value).__name__}(")
    assert "\n" not in repr(value)
    assert len(repr(value)) < 500


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_secrets_and_signed_urls_are_shown_nowhere(value: Value) -> None:
    """A key and a signed URL are in no JSON, no repr and no notebook."""
    assert "secret" not in value.to_json() + repr(value) + value._repr_html_()


def test_a_repr_says_what_is_there() -> None:
    """Fields that aren't set are left out, a long text is cut, and a long collection counted."""
    assert repr(Task(id="t", status="running")) == "Task(id='t', status='running')"
    assert repr(TASK).endswith(
        "created_at=2026-01-02T03:04:05.678000+00:00, prompts=(Prompt(id='p', status='running'),))"
    )
    assert f"final_result='{'x' * 80}'…" in repr(VALUES[4])
    assert repr(Page((TASK,), None, 1, 0)) == "Page(data=<1 items>, limit=1, offset=0)"
    assert repr(MADE[1]) == "ThinkingEvent(seq=1, text='hm')"
    assert repr(MADE[-1]) == "UnknownEvent(event_type='hologram', payload={'shape': 'cube'})"


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base's name
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_notebook_shows_tables() -> None:
    """A model is a table of its fields and a page one of its items, with all text escaped and no empty column."""
    cells = _Cells()
    cells.feed(TASK._repr_html_())
    assert cells.tags == {"table", "caption", "tr", "th", "td"}
    assert cells.texts[:6] == ["Task", "id", "t", "title", "<b>bold</b>\nand a second line", "status"]
    page = _Cells()
    page.feed(Page((Task(id="a"), Task(id="b", title="<i>")), 5, 2, 2)._repr_html_())
    assert page.texts == ["2 of 5, from 2 on", "id", "title", "a", "b", "<i>"]
    unknown = _Cells()
    unknown.feed(Page((Task(id="a"),), None, 2, 0)._repr_html_())
    assert unknown.texts[0] == "1, from 0 on"


@pytest.mark.parametrize("golden", [golden for golden in EVENTS if "event" in golden])
def test_an_event_is_read_back_from_its_own_json(golden: dict[str, Any]) -> None:
    """An event that came from the API comes back equal, of the same class, also from JSON as text."""
    event = decode_event(json.dumps(golden["data"]))
    for document in (event.to_dict(), json.loads(event.to_json())):
        back = TaskEvent.from_dict(document)
        assert (type(back), back) == (type(event), event)


@pytest.mark.parametrize("event", MADE, ids=lambda event: type(event).__name__)
def test_an_event_of_an_application_is_read_back(event: TaskEvent) -> None:
    """An event that was made without a payload comes back with all of its fields, and a payload that says them."""
    back = TaskEvent.from_dict(json.loads(event.to_json()))
    assert attrs.evolve(back, payload=event.payload) == event
    assert back.payload


@pytest.mark.parametrize("document", [[], None, "x", {}, {"eventType": 3}])
def test_what_is_no_event_is_refused(document: Any) -> None:
    """What is no JSON object with an eventType is a `DecodeError`."""
    with pytest.raises(DecodeError, match="event"):
        TaskEvent.from_dict(document)


def test_what_json_cannot_hold_becomes_what_it_can() -> None:
    """NaN and Infinity become null, durations seconds, sets arrays, anything else a string; depth is no limit."""
    deep: Any = "end"
    for _ in range(100_000):  # no Python's reader or writer goes as deep
        deep = [deep]
    payload: dict[Any, Any] = {
        "nan": float("nan"),
        5: {1},
        "d": timedelta(minutes=1),
        "t": (1.5, True, b"x"),
        "deep": deep,
    }
    zone = timezone(timedelta(hours=2))
    document = TaskEvent(event_type="x", payload=payload, timestamp=datetime(2026, 1, 2, tzinfo=zone)).to_dict()
    assert document.pop("timestamp") == "2026-01-02T00:00:00+02:00"
    found = document["payload"]
    assert {**found, "deep": 0} == {"nan": None, "5": [1], "d": 60.0, "t": [1.5, True, "b'x'"], "deep": 0}
    for _ in range(100_000):
        (found["deep"],) = found["deep"]
    assert found["deep"] == "end"
    event = TextEvent(text="x", payload={"deep": deep, "é": {}, "last": {"a": [1, [], None], "b": "x"}})
    assert event.to_json().endswith("]" * 100_000 + ',"é":{},"last":{"a":[1,[],null],"b":"x"}}}')
    assert "payload=<1 items>" in repr(TaskEvent(event_type="x", payload={"deep": deep}))


@pytest.mark.parametrize(
    ("count", "total", "limit", "offset", "next_offset"),
    [
        (2, 5, 2, 0, 2),
        (1, 5, 2, 4, None),
        (2, None, 2, 2, 4),
        (1, None, 2, 2, None),
        (0, 5, 2, 6, None),
        (0, 5, 2, 0, None),
    ],
)
def test_a_page_knows_the_next_one(
    count: int, total: int | None, limit: int, offset: int, next_offset: int | None
) -> None:
    """The next page begins after this one's items, while the total, or else a full page, says that there is more."""
    page = Page((TASK,) * count, total, limit, offset)
    assert (page.next_offset, page.has_more) == (next_offset, next_offset is not None)
