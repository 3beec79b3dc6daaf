"""The events of a turn, and the `Done` that ends it.

An event of a type that is newer than this package, or whose payload doesn't fit its type, is an `UnknownEvent`. Every
event keeps its payload as it came, so no part of it is lost.

*Source*: contract §4, observed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs

from rebyte_async.types.questions import Question, QuestionOption
from rebyte_async.types.statuses import TaskStatus
from rebyte_async.types.values import Value, to_wire_name

_WIRE_NAMES = {
    "text": "content",
    **{name: to_wire_name(name) for name in ("sub_prompt_id", "action_id", "message_id", "multi_select")},
}
"""What a payload calls the fields that it doesn't call as the classes do."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class TaskEvent(Value):
    """The fields that every event of a task has."""

    _own_type: ClassVar[str] = "unknown"
    _read: ClassVar[Callable[[object], TaskEvent]]  # set by the room that decodes, which is above this one

    seq: int | None = None
    """The position within the prompt, from 0 or 1 on. The server may renumber it. None when absent."""
    event_type: str = attrs.field(default=attrs.Factory(lambda self: self._own_type, takes_self=True))
    """The type as the server named it (an open set). An event made by an application has the type of its class."""
    prompt_id: str | None = None
    """The prompt of the turn that the event belongs to. None when absent."""
    event_key: str | None = None
    """The event's identity, which it keeps when the server renumbers. None when absent, as from older servers."""
    timestamp: datetime | None = None
    """When it happened, as an aware datetime (UTC where the server names no zone). None when absent or unreadable."""
    payload: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    """The payload as it came, with fields that this package doesn't know. Empty when it was no object."""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TaskEvent:
        """Read an event back from what `to_dict` returned, or from the JSON of a stream's frame.

        Args:
            document: The JSON object, decoded.

        Returns:
            The event, of the class that its `eventType` says.

        Raises:
            DecodeError: It is no JSON object with an `eventType`.
        """
        return cls._read(document)

    def _to_fields(self) -> Mapping[str, object]:
        common = ("seq", "timestamp", "prompt_id", "event_key", "event_type")
        fields = {to_wire_name(name): getattr(self, name) for name in common}
        return fields | {"payload": self.payload or self._make_payload()}

    def _make_payload(self) -> dict[str, object]:
        """Return the payload of an event that an application made without one: its own fields."""
        own: list[str] = [item.name for item in attrs.fields(type(self)) if not item.inherited and item.repr]
        return {_WIRE_NAMES.get(name, name): getattr(self, name) for name in own}

    def _show_fields(self) -> list[tuple[str, object]]:
        """Return the fields to show: without the type where it is the class', and the payload where it was read."""
        hidden = {"event_type": self.event_type == self._own_type, "payload": self._own_type != "unknown"}
        return [(name, value) for name, value in super()._show_fields() if not hidden.get(name)]


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class InitEvent(TaskEvent):
    """The agent has started."""

    __match_args__ = ("session_id", "model", "cwd")
    _own_type: ClassVar[str] = "init"

    session_id: str | None = None
    """The id of the executor's own session."""
    model: str | None = None
    """The model that it uses."""
    cwd: str | None = None
    """Its working directory in the VM."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class ThinkingEvent(TaskEvent):
    """A piece of the agent's reasoning."""

    __match_args__ = ("text",)
    _own_type: ClassVar[str] = "thinking"

    text: str
    """The reasoning."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class TextEvent(TaskEvent):
    """A piece of the text that the agent writes."""

    __match_args__ = ("text", "is_delta")
    _own_type: ClassVar[str] = "text"

    text: str
    """The text."""
    is_delta: bool = False
    """True when the text continues the text before it; False when it is a block by itself."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class ToolUseEvent(TaskEvent):
    """The agent calls a tool."""

    __match_args__ = ("tool_id", "name", "input", "sub_prompt_id")
    _own_type: ClassVar[str] = "tool_use"

    tool_id: str
    """The call's id; the `ToolResultEvent` has the same."""
    name: str
    """The tool's name."""
    input: Any = attrs.field(factory=dict[str, Any], hash=False)
    """The arguments, as the JSON that came: usually an object. Empty when absent."""
    sub_prompt_id: str | None = None
    """The sub-prompt that the call delegates to, which has its own events. None when the call delegates nothing."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class ToolResultEvent(TaskEvent):
    """A tool has returned its result."""

    __match_args__ = ("tool_id", "output", "is_error", "sub_prompt_id")
    _own_type: ClassVar[str] = "tool_result"

    tool_id: str
    """The id of the tool call that this is the result of."""
    output: Any = attrs.field(default=None, hash=False)
    """The tool's output: usually a string (often JSON text), else the JSON that came. None when absent."""
    is_error: bool = False
    """True when the tool failed."""
    sub_prompt_id: str | None = None
    """The sub-prompt that the call had delegated to. Some of its events may not have arrived yet."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class ResultEvent(TaskEvent):
    """The agent's own summary of the turn. Often it repeats the last text; sometimes only it has that text."""

    __match_args__ = ("text", "status", "duration_ms", "usage")
    _own_type: ClassVar[str] = "result"

    text: str = ""
    """The summary. Empty when absent."""
    status: str | None = None
    """How the agent judges the turn (an open set). None when absent."""
    duration_ms: float | None = None
    """How long the turn took, in milliseconds. None when absent."""
    usage: Mapping[str, Any] | None = attrs.field(default=None, hash=False)
    """What the turn consumed, such as `input_tokens`. None when absent."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class QuestionEvent(TaskEvent):
    """The agent asks the user one question or several, and waits for the answer: give it with `client.tasks.answer`."""

    __match_args__ = ("action_id", "message_id", "question", "options", "multi_select", "questions")
    _own_type: ClassVar[str] = "ask_user_question"

    action_id: int | None = None
    """The `action_id` for the answer. None when it is absent or no number."""
    message_id: str
    """The `message_id` for the answer."""
    question: str
    """The question; the first where there are several."""
    options: tuple[QuestionOption, ...] = ()
    """Its options, in order. Entries of the server that can't be read are left out."""
    multi_select: bool = False
    """True when several of them may be chosen."""
    questions: tuple[Question, ...] = attrs.field(
        default=attrs.Factory(lambda self: (Question(self.question, self.options, self.multi_select),), takes_self=True)
    )
    """All questions that are asked at once, at least one: each needs an answer."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class ErrorEvent(TaskEvent):
    """An error in the turn. It doesn't end the turn: only `Done` does.

    *Source*: contract §4, guess: no public client is known to have seen one.
    """

    __match_args__ = ("message",)
    _own_type: ClassVar[str] = "error"

    message: str
    """What went wrong."""


@attrs.frozen(kw_only=True, match_args=False, repr=False)
class UnknownEvent(TaskEvent):
    """An event of a type that this package doesn't know, or whose payload doesn't fit its type."""

    document: Mapping[str, Any] = attrs.field(factory=dict[str, Any], eq=False, repr=False)
    """The whole event as it came: parts of it may be in no other field."""

    def _to_fields(self) -> Mapping[str, object]:
        return self.document or super()._to_fields()


@attrs.frozen(repr=False)
class Done(Value):
    """The end of a turn, as the stream reports it."""

    status: TaskStatus
    """`completed`, `failed` or `canceled`: a task's status, whatever word the stream used."""
    last_seq: int | None = None
    """The `seq` of the turn's last event; -1 when it had none yet. None when absent."""
    final_result: str = ""
    """The turn's final result. Empty when absent."""
