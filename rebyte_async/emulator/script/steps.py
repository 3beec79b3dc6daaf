"""Steps that say something: one function for each kind of event, and one for any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.script.player import ScriptPlayer

__all__ = [
    "Comment",
    "Emit",
    "comment",
    "delta",
    "error",
    "init",
    "raw",
    "result",
    "text",
    "thinking",
    "tool_result",
    "tool_use",
]


@frozen
class Emit:
    """An event with its payload as given."""

    event_type: str
    payload: Mapping[str, Any] = field(factory=dict[str, Any])

    async def play(self, player: ScriptPlayer) -> None:
        """Say it."""
        player.emit(self.event_type, self.payload)


@frozen
class ToolCall:
    """A tool_use event whose tool id is made up unless it is given."""

    payload: Mapping[str, Any]

    async def play(self, player: ScriptPlayer) -> None:
        """Say it, and remember the id for the tool's result."""
        player.tool_id = self.payload.get("id") or player.state.ids.token("toolu_")
        player.emit("tool_use", {**self.payload, "id": player.tool_id})


@frozen
class ToolAnswer:
    """A tool_result event; unless it is given, its tool id is that of the last tool_use."""

    payload: Mapping[str, Any]

    async def play(self, player: ScriptPlayer) -> None:
        """Say it."""
        player.emit("tool_result", {**self.payload, "id": self.payload.get("id") or player.tool_id})


@frozen
class Comment:
    """A comment line in the stream, as heartbeats are; no event."""

    text: str

    async def play(self, player: ScriptPlayer) -> None:
        """Send it."""
        player.prompt.transcript.remark(self.text)


def raw(event_type: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Emit:
    """An event of any type with exactly this payload: unknown types, and the other spellings of known ones."""
    return Emit(event_type, {**(payload or {}), **fields})


def init(session_id: str = "session", *, model: str = "claude", cwd: str = "/code") -> Emit:
    """The agent has started."""
    return raw("init", session_id=session_id, model=model, cwd=cwd)


def thinking(content: str) -> Emit:
    """The agent thinks."""
    return raw("thinking", content=content)


def text(content: str) -> Emit:
    """A block of text of its own."""
    return raw("text", content=content)


def delta(content: str) -> Emit:
    """A piece of text that continues the open block."""
    return raw("text", content=content, is_delta=True)


def tool_use(
    name: str, arguments: Mapping[str, Any] | None = None, *, tool_id: str | None = None, sub_prompt: str | None = None
) -> ToolCall:
    """The agent exchanges a tool.

    Args:
        name: The tool's name.
        arguments: What it is called with.
        tool_id: The call's id; None makes one up.
        sub_prompt: The `subPromptId` of the event, if it shall have one; `delegate` sets a real one.
    """
    payload = {"id": tool_id, "name": name, "input": dict(arguments or {}), "subPromptId": sub_prompt}
    return ToolCall(_present(payload))


def tool_result(
    output: str, *, tool_id: str | None = None, is_error: bool | None = None, sub_prompt: str | None = None
) -> ToolAnswer:
    """A tool has answered.

    Args:
        output: What it says, often JSON text.
        tool_id: The call's id; None takes that of the last `tool_use`.
        is_error: Whether the tool failed; None leaves the field out.
        sub_prompt: The `subPromptId` of the event, if it shall have one.
    """
    payload = {"id": tool_id, "output": output, "is_error": is_error, "subPromptId": sub_prompt}
    return ToolAnswer(_present(payload))


def result(
    content: str | None = None,
    *,
    status: str | None = None,
    duration_ms: int | None = None,
    usage: Mapping[str, int] | None = None,
) -> Emit:
    """The agent sums up; it doesn't end the turn."""
    return Emit("result", _present({"result": content, "status": status, "duration_ms": duration_ms, "usage": usage}))


def error(message: str) -> Emit:
    """The agent reports an error; it doesn't end the turn."""
    return raw("error", message=message)


def comment(content: str = "heartbeat") -> Comment:
    """A comment line in the stream, as heartbeats are."""
    return Comment(content)


def _present(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}
