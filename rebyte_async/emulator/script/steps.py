"""The steps of scripts: a function makes each, and the player of a turn plays it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE
from rebyte_async.emulator.frames import make_comment
from rebyte_async.emulator.script.player import ScriptPlayer, Steps, flatten_steps
from rebyte_async.emulator.script.turn import Turn
from rebyte_async.emulator.state.prompts import Choice, OpenQuestion

Content: TypeAlias = str | bytes | Iterable[bytes]

# --- Events ---


@frozen
class Emit:
    """An event with a given payload."""

    event_type: str
    payload: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)

    async def play(self, player: ScriptPlayer) -> None:
        player.emit(self.event_type, self.payload)


@frozen
class ToolEvent:
    """A tool_use or tool_result event; without a tool id, it gets a new one, or that of the latest tool_use."""

    event_type: Literal["tool_use", "tool_result"]
    payload: Mapping[str, Any] = field(hash=False)

    async def play(self, player: ScriptPlayer) -> None:
        if self.event_type == "tool_use":
            player.tool_id = self.payload.get("id") or player.host.ids.token("toolu_")
        player.emit(self.event_type, {**self.payload, "id": self.payload.get("id") or player.tool_id})


@frozen
class Comment:
    """A comment line in the stream, like a heartbeat; it is no event."""

    text: str

    async def play(self, player: ScriptPlayer) -> None:
        player.prompt.transcript.add(make_comment(self.text))


def raw(event_type: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Emit:
    """Emit an event of any type with exactly this payload: also unknown types, and other forms of known ones."""
    return Emit(event_type, {**(payload or {}), **fields})


def init(session_id: str = "session", *, model: str = "claude", cwd: str = "/code") -> Emit:
    """Emit the event with which the agent starts."""
    return raw("init", session_id=session_id, model=model, cwd=cwd)


def thinking(content: str) -> Emit:
    """Emit a thought of the agent."""
    return raw("thinking", content=content)


def text(content: str) -> Emit:
    """Emit a whole block of text."""
    return raw("text", content=content)


def delta(content: str) -> Emit:
    """Emit a piece of text that continues the open block."""
    return raw("text", content=content, is_delta=True)


def tool_use(
    name: str, arguments: Mapping[str, Any] | None = None, *, tool_id: str | None = None, sub_prompt: str | None = None
) -> ToolEvent:
    """Emit a call of a tool.

    Args:
        name: The tool's name.
        arguments: The arguments of the call.
        tool_id: The call's id; None generates one.
        sub_prompt: The `subPromptId` of the event, if it is to have one; `delegate` sets a real one.
    """
    payload = {"id": tool_id, "name": name, "input": dict(arguments or {}), "subPromptId": sub_prompt}
    return ToolEvent("tool_use", _without_none(payload))


def tool_result(
    output: str, *, tool_id: str | None = None, is_error: bool | None = None, sub_prompt: str | None = None
) -> ToolEvent:
    """Emit the result of a tool.

    Args:
        output: The result, often JSON text.
        tool_id: The call's id; None takes that of the latest `tool_use`.
        is_error: Whether the tool failed; None leaves the field out.
        sub_prompt: The `subPromptId` of the event, if it is to have one.
    """
    payload = {"id": tool_id, "output": output, "is_error": is_error, "subPromptId": sub_prompt}
    return ToolEvent("tool_result", _without_none(payload))


def result(
    content: str | None = None,
    *,
    status: str | None = None,
    duration_ms: int | None = None,
    usage: Mapping[str, int] | None = None,
) -> Emit:
    """Emit the agent's summary; it doesn't end the turn."""
    payload = {"result": content, "status": status, "duration_ms": duration_ms, "usage": usage}
    return Emit("result", _without_none(payload))


def error(message: str) -> Emit:
    """Emit an error of the agent; it doesn't end the turn."""
    return raw("error", message=message)


def comment(content: str = "heartbeat") -> Comment:
    """Send a comment line, like a heartbeat."""
    return Comment(content)


def _without_none(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}


# --- Pauses and the end of a turn ---


@frozen
class Pause:
    """The agent does nothing for some seconds."""

    seconds: float

    async def play(self, player: ScriptPlayer) -> None:
        del player
        await asyncio.sleep(self.seconds)


@frozen
class Hold:
    """The agent waits until a test calls `Emulator.release` with the same name."""

    name: str

    async def play(self, player: ScriptPlayer) -> None:
        await player.host.latches[self.name].wait()


@frozen
class End:
    """The turn ends; events of later steps arrive late."""

    status: str
    final_result: str | None = None

    async def play(self, player: ScriptPlayer) -> None:
        player.plan_end(self.status, self.final_result)


def pause(seconds: float) -> Pause:
    """Do nothing for some seconds."""
    return Pause(seconds)


def hold(name: str = "gate") -> Hold:
    """Wait until `Emulator.release` is called with the same name; once released, the name holds no agent any more."""
    return Hold(name)


def succeed(final_result: str | None = None) -> End:
    """End the turn as succeeded; its final result is by default the last text.

    Args:
        final_result: The final result. If no text after the last tool call has it, the agent says it in a result event,
            as agents of the service do, unless more steps follow.
    """
    return End("succeeded", final_result)


def fail(message: str = "") -> End:
    """End the turn as failed, with a message as the final result."""
    return End("failed", message)


def cancel() -> End:
    """End the turn as canceled, without a request to cancel it."""
    return End("canceled", "")


# --- Questions, delegations and artifacts ---


@frozen
class AskedQuestion:
    """One of the questions that an agent asks at once."""

    question: str
    options: tuple[str, ...]
    multi_select: bool

    def to_json(self) -> dict[str, Any]:
        options = [{"label": label} for label in self.options]
        return {"question": self.question, "options": options, "multiSelect": self.multi_select}


@frozen(kw_only=True)
class Ask:
    """An `ask_user_question` event with one question or several; the agent waits for the answer."""

    questions: tuple[AskedQuestion, ...]
    action_id: int | None = None
    message_id: str | None = None

    async def play(self, player: ScriptPlayer) -> None:
        question = OpenQuestion(
            action_id=next(player.host.action_ids) if self.action_id is None else self.action_id,
            message_id=self.message_id or player.host.ids.uuid(),
            choices=tuple(Choice(len(each.options), each.multi_select) for each in self.questions),
        )
        ids = {"actionId": str(question.action_id), "messageId": question.message_id}
        asked = [each.to_json() for each in self.questions]
        player.task.question = question
        player.emit("ask_user_question", {**ids, **asked[0], **({"questions": asked} if len(asked) > 1 else {})})
        try:
            player.answers.extend(await question.answers)
        finally:
            player.task.question = None


@frozen(kw_only=True)
class Delegate:
    """A tool_use and a tool_result with the id of a sub-prompt; in between, another agent plays its steps."""

    prompt: str
    steps: Steps
    late: Steps = ()
    name: str = "delegate"
    output: str = ""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)

    async def play(self, player: ScriptPlayer) -> None:
        other = player.delegate(self.prompt)
        tool_id = player.host.ids.token("toolu_")
        reference = {"id": tool_id, "subPromptId": other.prompt.id, **self.extra}
        player.emit("tool_use", {**reference, "name": self.name, "input": {"prompt": self.prompt}})
        await other.play(self.steps)
        other.finish()
        player.emit("tool_result", {**reference, "output": self.output or other.final_result})
        player.host.spawn(other.play(self.late))


@frozen
class WriteArtifact:
    """A file is stored among the artifacts of the task's workspace; no event reports it."""

    name: str
    content: Content | Callable[[Turn], Content] = field(repr=False)
    content_type: str = DEFAULT_TYPE

    async def play(self, player: ScriptPlayer) -> None:
        content, workspace = self.content, player.task.workspace
        if callable(content):
            await player.filesystem.load()
            content = content(player.turn)
        draft = await player.host.artifacts.write(workspace, self.name, self.content_type, _chunks(content))
        await player.host.artifacts.publish(workspace, draft)


def question(
    prompt: str,
    *options: str,
    multi_select: bool = False,
    also: Iterable[Ask] = (),
    action_id: int | None = None,
    message_id: str | None = None,
) -> Ask:
    """Ask the user a question, and wait for `POST /tasks/:id/answer`.

        other = question("Which region?", "eu", "us")
        question("Which database?", "Postgres", "SQLite", also=[other])

    Args:
        prompt: The question.
        options: The labels of the options.
        multi_select: Whether several options may be selected.
        also: Further questions to ask at once, each made by this function; the ids are those of the first.
        action_id: The question's number; None takes the next one.
        message_id: The id of the question's message; None generates one.
    """
    questions = (AskedQuestion(prompt, options, multi_select), *(other for each in also for other in each.questions))
    return Ask(questions=questions, action_id=action_id, message_id=message_id)


def delegate(prompt: str, *steps: Steps, late: Steps = (), name: str = "delegate", output: str = "") -> Delegate:
    """Delegate work to another agent.

    Args:
        prompt: The prompt for the other agent.
        steps: The steps of the other agent; its events are at `GET /tasks/:id/prompts/:promptId/events`.
        late: Its steps after its result was reported.
        name: The tool's name.
        output: The tool's result; empty takes the other agent's final result.
    """
    return Delegate(prompt=prompt, steps=flatten_steps(steps), late=flatten_steps(late), name=name, output=output)


def artifact(
    name: str, content: Content | Callable[[Turn], Content], *, content_type: str = DEFAULT_TYPE
) -> WriteArtifact:
    """Store an artifact in the task's workspace, in place of an older one with its name.

    Args:
        name: The artifact's name.
        content: Text, bytes, or an iterable of bytes if it is too large for the memory; or a function that takes the
            `Turn` and returns one of them.
        content_type: The artifact's type.
    """
    return WriteArtifact(name, content, content_type)


async def _chunks(content: Content) -> AsyncIterator[bytes]:
    if isinstance(content, str):
        content = content.encode()
    for chunk in (content,) if isinstance(content, bytes) else content:
        yield chunk
