"""Decode the data of a stream's frame to an event: the hottest path of the package.

*Source*: contract §4, observed; the type `error` is GUESS(§4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias, cast

from rebyte_async._clock import to_datetime
from rebyte_async._wire import json
from rebyte_async._wire.json import BACKEND, Backend, as_array, as_int, as_object, as_str, is_object
from rebyte_async._wire.redact import shorten
from rebyte_async.errors import DecodeError
from rebyte_async.types import events
from rebyte_async.types.events import Done, TaskEvent, UnknownEvent
from rebyte_async.types.questions import Question, QuestionOption
from rebyte_async.types.statuses import TaskStatus

_Fill: TypeAlias = Callable[[Any, dict[str, Any]], bool]
_Kind: TypeAlias = tuple[type[TaskEvent], type[TaskEvent], _Fill, str]
_QUESTION_FIELDS = ("question", "options", "multiSelect")
_SEVERAL = 2
_MAX_DIGITS = 18
"""The most digits of an action id: any number of them fits 64 bits."""
_DONE_STATUSES = {
    "succeeded": TaskStatus.COMPLETED,
    "completed": TaskStatus.COMPLETED,
    "canceled": TaskStatus.CANCELED,
    "cancelled": TaskStatus.CANCELED,
    "failed": TaskStatus.FAILED,
    "error": TaskStatus.FAILED,
}
_new = object.__new__
_read_time = datetime.fromisoformat


def decode_event(data: bytes | str, backend: Backend = BACKEND) -> TaskEvent:
    """Decode the data of an `event` frame. It must be a JSON object with a string `eventType`, else: `DecodeError`."""
    document: dict[str, Any] | None  # or any other JSON value
    try:
        document = backend.loads(data)
    except ValueError:
        document = None
    if type(document) is not dict:
        document = _load_object(data, backend)  # slower: reads what the backend refuses, and says what is wrong
    return event_from_mapping(document)


def decode_done(data: bytes | str, backend: Backend = BACKEND) -> Done:
    """Decode the data of a `done` frame. It must be a JSON object, else: `DecodeError`.

    A value that is missing or has the wrong type is None or empty. An unknown status stays as it is: the task must be
    read before such a frame is believed (contract §4.8).
    """
    document = _load_object(data, backend)
    status = as_str(document.get("status")) or ""
    return Done(
        status=_DONE_STATUSES.get(status.casefold()) or cast("TaskStatus", status),
        last_seq=as_int(document.get("lastSeq")),
        final_result=as_str(document.get("finalResult")) or "",
    )


def event_from_mapping(document: Mapping[str, Any]) -> TaskEvent:
    """Make an event of its JSON object.

    A field that every event has is None where its value has the wrong type. An event whose type is unknown, or whose
    payload doesn't fit its type, becomes an `UnknownEvent`.
    """
    get = document.get
    event_type = get("eventType")
    payload: dict[str, Any] | None = get("payload")  # or any other JSON value
    if type(event_type) is not str:
        raise DecodeError("an event has no eventType", path="$.eventType", body=_dump_excerpt(document))
    kind = _KINDS.get(event_type)
    if kind is None or type(payload) is not dict:
        return _make_unknown(document)
    cls, draft, fill, name = kind
    event: Any = _new(draft)
    seq, prompt_id, event_key = get("seq"), get("promptId"), get("eventKey")
    event.seq = seq if type(seq) is int else None
    event.event_type = name
    event.prompt_id = prompt_id if type(prompt_id) is str else None
    event.event_key = event_key if type(event_key) is str else None
    try:
        time = _read_time(document["timestamp"])
        event.timestamp = time if time.tzinfo else to_datetime(time)
    except (KeyError, TypeError, ValueError):
        event.timestamp = None
    event.payload = payload
    if not fill(event, payload):
        return _make_unknown(document)
    event.__class__ = cls
    made: TaskEvent = event
    return made


def _read_event(document: object) -> TaskEvent:
    if not isinstance(document, Mapping):
        raise DecodeError(f"an event must be a JSON object, not {type(document).__name__}", path="$")
    return event_from_mapping(cast("Mapping[str, Any]", document))


TaskEvent._read = _read_event  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _prepare(cls: type[TaskEvent], fill: _Fill, *names: str) -> dict[str, _Kind]:
    """Prepare to make the events of a class, under the types that the server calls it by.

    Returns the class, a draft of it, the function that fills the draft, and the type, for each type. The constructor of
    a frozen class sets each field by a call, which together takes longer than reading the JSON. So a
    draft, a subclass of the same layout that isn't frozen, is filled by plain assignment and then becomes the class
    proper. `fill` sets the class' own fields from the payload, and returns False if the payload doesn't fit.
    """
    thawed = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    draft = type(cls.__name__, (cls,), thawed)
    return {name: (cls, draft, fill, name) for name in names}


def _fill_init(event: Any, payload: dict[str, Any]) -> bool:
    event.session_id = session_id = payload.get("session_id")
    event.model = model = payload.get("model")
    event.cwd = cwd = payload.get("cwd")
    return _is_optional_str(session_id) and _is_optional_str(model) and _is_optional_str(cwd)


def _fill_thinking(event: Any, payload: dict[str, Any]) -> bool:
    event.text = text = _either(payload, "content", "thinking")
    return type(text) is str


def _fill_text(event: Any, payload: dict[str, Any]) -> bool:
    text = payload.get("content")
    if text is None:
        text = payload.get("text")
    is_delta = payload.get("is_delta")
    event.text = text
    event.is_delta = is_delta is True
    return type(text) is str and (is_delta is None or type(is_delta) is bool)


def _fill_tool_use(event: Any, payload: dict[str, Any]) -> bool:
    event.tool_id = tool_id = _either(payload, "id", "tool_id")
    event.name = name = _either(payload, "name", "tool_name")
    arguments = payload.get("input")
    if arguments is None:
        arguments = _either(payload, "params", "arguments")
    event.input = {} if arguments is None else arguments
    event.sub_prompt_id = sub_prompt_id = payload.get("subPromptId")
    return isinstance(tool_id, str) and isinstance(name, str) and _is_optional_str(sub_prompt_id)


def _fill_tool_result(event: Any, payload: dict[str, Any]) -> bool:
    event.tool_id = tool_id = _either(payload, "id", "tool_id")
    event.output = _either(payload, "output", "content")
    is_error = payload.get("is_error")
    event.is_error = is_error is True
    event.sub_prompt_id = sub_prompt_id = payload.get("subPromptId")
    return isinstance(tool_id, str) and _is_optional_bool(is_error) and _is_optional_str(sub_prompt_id)


def _fill_result(event: Any, payload: dict[str, Any]) -> bool:
    text = payload.get("result")
    if text is None:
        text = _either(payload, "content", "text")
    event.text = "" if text is None else text
    event.status = status = payload.get("status")
    event.duration_ms = duration = payload.get("duration_ms")
    event.usage = usage = payload.get("usage")
    return (
        _is_optional_str(text)
        and _is_optional_str(status)
        and (duration is None or type(duration) in (int, float))
        and (usage is None or is_object(usage))
    )


def _fill_question(event: Any, payload: dict[str, Any]) -> bool:
    action_id = payload.get("actionId")
    event.action_id = _read_action_id(action_id)
    event.message_id = message_id = payload.get("messageId")
    options = payload.get("options")
    entries = [as_object(entry) or {} for entry in as_array(payload.get("questions")) or ()]
    # The payload itself has the first question; what it leaves out, the first entry may have.
    first = {name: value for name in _QUESTION_FIELDS if (value := payload.get(name)) not in (None, [])}
    first = {**entries[0], **first} if entries else first
    only = _read_question(first)
    event.question, event.options, event.multi_select = only.question, only.options, only.multi_select
    event.questions = (only,) if len(entries) < _SEVERAL else tuple(_read_question(entry) for entry in entries)
    return (
        (action_id is None or type(action_id) in (int, str))
        and isinstance(message_id, str)
        and isinstance(first.get("question"), str)
        and (options is None or as_array(options) is not None)
        and _is_optional_bool(payload.get("multiSelect"))
    )


def _fill_error(event: Any, payload: dict[str, Any]) -> bool:
    message = _either(payload, "message", "error")
    if message is None:
        message = _either(payload, "content", "text")
    if is_object(message):
        message = message.get("message")
    event.message = message
    return isinstance(message, str)


_KINDS = {
    **_prepare(events.InitEvent, _fill_init, "init"),
    **_prepare(events.ThinkingEvent, _fill_thinking, "thinking"),
    **_prepare(events.TextEvent, _fill_text, "text", "assistant", "message", "response"),
    **_prepare(events.ToolUseEvent, _fill_tool_use, "tool_use"),
    **_prepare(events.ToolResultEvent, _fill_tool_result, "tool_result"),
    **_prepare(events.ResultEvent, _fill_result, "result"),
    **_prepare(events.QuestionEvent, _fill_question, "ask_user_question"),
    **_prepare(events.ErrorEvent, _fill_error, "error"),
}


def _make_unknown(document: Mapping[str, Any]) -> UnknownEvent:
    return UnknownEvent(
        seq=as_int(document.get("seq")),
        event_type=document["eventType"],
        prompt_id=as_str(document.get("promptId")),
        event_key=as_str(document.get("eventKey")),
        timestamp=to_datetime(document.get("timestamp")),
        payload=as_object(document.get("payload")) or {},
        document=document,
    )


def _load_object(data: bytes | str, backend: Backend) -> dict[str, Any]:
    try:
        document = json.loads(data, backend)
    except ValueError as error:
        raise DecodeError("the data of a frame is no JSON", body=shorten(data)) from error
    if not is_object(document):
        raise DecodeError("the data of a frame is no JSON object", body=shorten(data))
    return document


def _dump_excerpt(document: Mapping[str, Any]) -> str:
    try:
        return shorten(json.dumps(document))
    except (TypeError, RecursionError):  # nested too deeply, or a number that is too long
        return ""


def _either(payload: dict[str, Any], name: str, other: str) -> Any:
    """Return the value under a name, or under another where the first has none; null counts as absent."""
    value = payload.get(name)
    return payload.get(other) if value is None else value


def _read_question(entry: dict[str, Any]) -> Question:
    """Read one question. One that can't be read is empty: it keeps its place among several, as its answer must."""
    options = _read_options(entry.get("options"))
    return Question(as_str(entry.get("question")) or "", options, entry.get("multiSelect") is True)


def _read_options(value: Any) -> tuple[QuestionOption, ...]:
    """Read the options that can be read: those with a label. Each keeps its index in the server's list."""
    return tuple(
        QuestionOption(item["label"], as_str(item.get("description")), index=index)  # pyright: ignore[reportCallIssue]
        for index, item in enumerate(as_array(value) or ())
        if is_object(item) and isinstance(item.get("label"), str)
    )


def _read_action_id(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    return as_int(value)


def _is_optional_str(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_optional_bool(value: Any) -> bool:
    return value is None or isinstance(value, bool)
