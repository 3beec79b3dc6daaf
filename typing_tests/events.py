"""Type-checked, never run: `match` on events gives typed fields."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_type

from rebyte_async.types import (
    Done,
    ErrorEvent,
    InitEvent,
    Question,
    QuestionEvent,
    QuestionOption,
    ResultEvent,
    TaskEvent,
    TaskStatus,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
)


def match_on_a_class_and_its_fields(event: TaskEvent) -> None:
    match event:
        case InitEvent(session_id=session_id, model=model, cwd=cwd):
            assert_type((session_id, model, cwd), tuple[str | None, str | None, str | None])
        case ThinkingEvent(text=text):
            assert_type(text, str)
        case TextEvent(text=text, is_delta=is_delta):
            assert_type(text, str)
            assert_type(is_delta, bool)
        case ToolUseEvent(tool_id=tool_id, name=name, input=arguments, sub_prompt_id=sub_prompt_id):
            assert_type((tool_id, name), tuple[str, str])
            assert_type(arguments, Any)
            assert_type(sub_prompt_id, str | None)
        case ToolResultEvent(output=output, is_error=is_error):
            assert_type(output, Any)
            assert_type(is_error, bool)
        case ResultEvent(text=text, duration_ms=duration_ms, usage=usage):
            assert_type(text, str)
            assert_type(duration_ms, float | None)
            assert_type(usage, Mapping[str, Any] | None)
        case QuestionEvent(action_id=action_id, options=options, questions=questions):
            assert_type(action_id, int | None)
            assert_type(options, tuple[QuestionOption, ...])
            assert_type(questions, tuple[Question, ...])
        case ErrorEvent(message=message):
            assert_type(message, str)
        case UnknownEvent(document=document):
            assert_type(document, Mapping[str, Any])
        case _:
            assert_type(event, TaskEvent)


def every_event_has(event: TaskEvent) -> None:
    assert_type(event.seq, int | None)
    assert_type(event.event_type, str)
    assert_type(event.prompt_id, str | None)
    assert_type(event.event_key, str | None)
    assert_type(event.timestamp, datetime | None)
    assert_type(event.payload, Mapping[str, Any])


def an_isinstance_narrows(event: TaskEvent) -> str:
    if isinstance(event, TextEvent | ThinkingEvent):
        assert_type(event, TextEvent | ThinkingEvent)
        return event.text
    return ""


def the_end(done: Done) -> None:
    assert_type(done.status, TaskStatus)
    assert_type(done.last_seq, int | None)
    assert_type(done.final_result, str)
