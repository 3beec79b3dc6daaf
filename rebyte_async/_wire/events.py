"""From the data of a stream's frame to an event. Pure, and the hottest path of the package.

Source: contract §4, observed; `error` is a guess.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from rebyte_async._wire import json
from rebyte_async.errors import DecodeError
from rebyte_async.types._fields import moment
from rebyte_async.types.events import (
    Done,
    ErrorEvent,
    InitEvent,
    QuestionEvent,
    QuestionOption,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
)
from rebyte_async.types.statuses import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Fill = Callable[[Any, dict[str, Any]], bool]

__all__ = ["decode_done", "decode_event", "event_from_mapping"]

_EXCERPT = 2000  # characters of the body that an error shows
_MAX_DIGITS = 18  # of an action id: what surely fits 64 bits
_DONE = {
    "succeeded": TaskStatus.COMPLETED,
    "completed": TaskStatus.COMPLETED,
    "canceled": TaskStatus.CANCELED,
    "cancelled": TaskStatus.CANCELED,
}
_new = object.__new__
_read_time = datetime.fromisoformat


def decode_event(data: bytes | str) -> TaskEvent:
    """Decode the data of an `event` frame.

    Raises:
        DecodeError: It is no JSON object with a string `eventType`.
    """
    document: dict[str, Any] | None  # or whatever came
    try:
        document = json.backend.loads(data)
    except ValueError:
        document = None
    if type(document) is not dict:
        document = _object(data)  # does the same slowly, and says what is wrong
    return event_from_mapping(document)


def decode_done(data: bytes | str) -> Done:
    """Decode the data of a `done` frame. What is missing or of a wrong type is None, or empty; no status is `failed`.

    Raises:
        DecodeError: It is no JSON object.
    """
    document = _object(data)
    status, result = document.get("status"), document.get("finalResult")
    return Done(
        status=_DONE.get(status, TaskStatus.FAILED) if isinstance(status, str) else TaskStatus.FAILED,
        last_seq=_int(document.get("lastSeq")),
        final_result=result if isinstance(result, str) else "",
    )


def event_from_mapping(document: Mapping[str, Any]) -> TaskEvent:
    """Make an event of its JSON object. A field that every event has is None where it has a wrong type.

    Raises:
        DecodeError: The object has no string `eventType`.
    """
    get = document.get
    event_type = get("eventType")
    payload: dict[str, Any] | None = get("payload")  # or whatever came
    if type(event_type) is not str:
        raise DecodeError("an event has no eventType", path="$.eventType", body=_written(document))
    kind = _KINDS.get(event_type)
    if kind is None or type(payload) is not dict:
        return _unknown(document)
    cls, draft, fill = kind
    event: Any = _new(draft)
    seq, prompt_id, event_key = get("seq"), get("promptId"), get("eventKey")
    event.seq = seq if type(seq) is int else None
    event.event_type = event_type
    event.prompt_id = prompt_id if type(prompt_id) is str else None
    event.event_key = event_key if type(event_key) is str else None
    try:
        time = _read_time(document["timestamp"])
        event.timestamp = time if time.tzinfo else moment(time)
    except (KeyError, TypeError, ValueError):
        event.timestamp = None
    event.payload = payload
    if not fill(event, payload):
        return _unknown(document)
    event.__class__ = cls
    made: TaskEvent = event
    return made


def _kind(cls: type[TaskEvent], fill: _Fill) -> tuple[type[TaskEvent], type[TaskEvent], _Fill]:
    """How the events of a class are made: the class, a draft of it, and what sets its own fields from the payload.

    The constructor of a frozen class sets each field by a call, which together takes longer than reading the JSON. So a
    draft, a subclass of the same layout that isn't frozen, is filled by plain assignment and then becomes the class
    proper. `fill` returns False when the payload doesn't fit.
    """
    thawed = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return cls, type(cls.__name__, (cls,), thawed), fill


def _init(event: Any, payload: dict[str, Any]) -> bool:
    event.session_id = session_id = payload.get("session_id")
    event.model = model = payload.get("model")
    event.cwd = cwd = payload.get("cwd")
    return _optional_str(session_id) and _optional_str(model) and _optional_str(cwd)


def _thinking(event: Any, payload: dict[str, Any]) -> bool:
    event.text = text = _first(payload, "content", "thinking")
    return isinstance(text, str)


def _text(event: Any, payload: dict[str, Any]) -> bool:
    text = payload.get("content")
    if text is None:
        text = payload.get("text")
    is_delta = payload.get("is_delta")
    event.text = text
    event.is_delta = is_delta is True
    return type(text) is str and (is_delta is None or type(is_delta) is bool)


def _tool_use(event: Any, payload: dict[str, Any]) -> bool:
    event.tool_id = tool_id = _first(payload, "id", "tool_id")
    event.name = name = _first(payload, "name", "tool_name")
    arguments = _first(payload, "input", "params", "arguments")
    event.input = {} if arguments is None else arguments
    event.sub_prompt_id = sub_prompt_id = payload.get("subPromptId")
    return isinstance(tool_id, str) and isinstance(name, str) and _optional_str(sub_prompt_id)


def _tool_result(event: Any, payload: dict[str, Any]) -> bool:
    event.tool_id = tool_id = _first(payload, "id", "tool_id")
    event.output = _first(payload, "output", "content")
    is_error = payload.get("is_error")
    event.is_error = is_error is True
    event.sub_prompt_id = sub_prompt_id = payload.get("subPromptId")
    return isinstance(tool_id, str) and _optional_bool(is_error) and _optional_str(sub_prompt_id)


def _result(event: Any, payload: dict[str, Any]) -> bool:
    text = _first(payload, "result", "content", "text")
    event.text = "" if text is None else text
    event.status = status = payload.get("status")
    event.duration_ms = duration = payload.get("duration_ms")
    event.usage = usage = payload.get("usage")
    return (
        _optional_str(text)
        and _optional_str(status)
        and (duration is None or type(duration) in (int, float))
        and (usage is None or _is_object(usage))
    )


def _question(event: Any, payload: dict[str, Any]) -> bool:
    action_id = payload.get("actionId")
    event.action_id = _action_id(action_id)
    event.message_id = message_id = payload.get("messageId")
    event.question = question = payload.get("question")
    event.options = options = _options(payload.get("options"))
    multi_select = payload.get("multiSelect")
    event.multi_select = multi_select is True
    return (
        (action_id is None or type(action_id) in (int, str))
        and isinstance(message_id, str)
        and isinstance(question, str)
        and options is not None
        and _optional_bool(multi_select)
    )


def _error(event: Any, payload: dict[str, Any]) -> bool:
    message = _first(payload, "message", "error", "content", "text")
    if _is_object(message):
        message = message.get("message")
    event.message = message
    return isinstance(message, str)


_KINDS = {
    "init": _kind(InitEvent, _init),
    "thinking": _kind(ThinkingEvent, _thinking),
    "text": (_text_kind := _kind(TextEvent, _text)),
    "assistant": _text_kind,
    "message": _text_kind,
    "response": _text_kind,
    "tool_use": _kind(ToolUseEvent, _tool_use),
    "tool_result": _kind(ToolResultEvent, _tool_result),
    "result": _kind(ResultEvent, _result),
    "ask_user_question": _kind(QuestionEvent, _question),
    "error": _kind(ErrorEvent, _error),
}


def _unknown(document: Mapping[str, Any]) -> UnknownEvent:
    payload = document.get("payload")
    return UnknownEvent(
        seq=_int(document.get("seq")),
        event_type=document["eventType"],
        prompt_id=_str(document.get("promptId")),
        event_key=_str(document.get("eventKey")),
        timestamp=moment(document.get("timestamp")),
        payload=payload if _is_object(payload) else {},
        document=document,
    )


def _object(data: bytes | str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise DecodeError("the data of a frame is no JSON", body=_excerpt(data)) from error
    if type(document) is not dict:
        raise DecodeError("the data of a frame is no JSON object", body=_excerpt(data))
    return cast("dict[str, Any]", document)


def _written(document: Mapping[str, Any]) -> str:
    try:
        return _excerpt(json.dumps(document))
    except (TypeError, RecursionError):  # nested too deeply, or a number that is too long
        return ""


def _excerpt(data: bytes | str) -> str:
    text = data if isinstance(data, str) else data[: 4 * _EXCERPT].decode("utf-8", "replace")
    return text[:_EXCERPT]


def _first(payload: dict[str, Any], *names: str) -> Any:
    """The value under the first of the names that has one. null is none."""
    for name in names:
        value = payload.get(name)
        if value is not None:
            return value
    return None


def _options(value: Any) -> tuple[QuestionOption, ...] | None:
    """The options, or None when the value is no list of them."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return None
    options = [_option(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return None if None in options else cast("tuple[QuestionOption, ...]", tuple(options))


def _option(value: Any) -> QuestionOption | None:
    if not _is_object(value) or not isinstance(value.get("label"), str):
        return None
    return QuestionOption(value["label"], _str(value.get("description")))


def _action_id(value: Any) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    return None


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _int(value: Any) -> int | None:
    return value if type(value) is int else None


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _optional_str(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _optional_bool(value: Any) -> bool:
    return value is None or isinstance(value, bool)
