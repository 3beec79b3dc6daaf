"""Playing a script: its steps, one after the other, act on the player of their turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import Factory, define, field

from rebyte_async.emulator.artifacts.storage import ArtifactStore
from rebyte_async.emulator.generators import IdGenerator
from rebyte_async.emulator.script.turn import AgentFilesystem, Turn
from rebyte_async.emulator.state.primitives import Latch
from rebyte_async.emulator.state.prompts import Answer, Prompt
from rebyte_async.emulator.state.tasks import Task

_TEXT_TYPES = frozenset({"text", "assistant", "message", "response"})
_TEXT_FIELDS = ("content", "text", "result")


@runtime_checkable
class Step(Protocol):
    """An action of an agent."""

    async def play(self, player: ScriptPlayer, /) -> None:
        """Do the action in the player's turn."""
        ...


Steps: TypeAlias = Step | Callable[[Turn], "Steps | None"] | Iterable["Steps"]


def flatten_steps(steps: Steps) -> tuple[Steps, ...]:
    """Flatten nested steps into a tuple, which can be played repeatedly; raise a `TypeError` for anything else."""
    if isinstance(steps, Step) or callable(steps):
        return (steps,)
    if isinstance(steps, str) or not hasattr(steps, "__iter__"):
        raise TypeError(f"a script can't play {steps!r}: it needs steps, functions that return steps, or lists of both")
    return tuple(step for part in steps for step in flatten_steps(part))


class AgentHost(Protocol):
    """What steps may use of the state of the service."""

    ids: IdGenerator
    clock: Callable[[], datetime]
    latches: defaultdict[str, Latch]
    action_ids: Iterator[int]
    artifacts: ArtifactStore

    def create_prompt(self, text: str) -> Prompt: ...

    def spawn(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]: ...


@define(eq=False)
class ScriptPlayer:
    """Plays the steps of one turn, and keeps what they need of each other."""

    host: AgentHost
    task: Task
    prompt: Prompt
    on_end: Callable[[Task], None]
    """Called when a turn of the task may have ended."""
    answers: list[Answer] = field(factory=list[Answer], init=False)
    tool_id: str = field(default="", init=False)
    """The id of the latest tool call."""
    filesystem: AgentFilesystem = field(
        init=False, default=Factory(lambda player: AgentFilesystem(player.task.workspace.files), takes_self=True)
    )
    # Since the last tool call: what was said before one is no final result.
    _block: str = field(default="", init=False)
    _said: list[str] = field(factory=list[str], init=False)
    _result: str | None = field(default=None, init=False)
    _is_block_open: bool = field(default=False, init=False)
    _planned_end: tuple[str, str | None] | None = field(default=None, init=False)

    @property
    def turn(self) -> Turn:
        """The turn as steps that are functions see it."""
        return Turn(
            task_id=self.task.id,
            prompt_id=self.prompt.id,
            prompt=self.prompt.text,
            workspace_id=self.task.workspace.id,
            number=len(self.task.prompts) - 1,
            executor=self.task.executor,
            skills=self.prompt.skills,
            files=tuple(file.filename for file in self.prompt.files),
            answers=tuple(self.answers),
            filesystem=self.filesystem,
        )

    @property
    def final_result(self) -> str:
        """The final result so far: that of the result event, else the last block of text after the last tool call."""
        return self._block if self._result is None else self._result

    async def play(self, steps: Steps) -> None:
        """Play steps in order; a function is called when it is reached, and the steps that it returns are played."""
        if isinstance(steps, Step):
            self._end_early()
            await steps.play(self)
        elif callable(steps):
            self._end_early()
            await self.filesystem.load()
            await self.play(steps(self.turn) or ())
        else:
            for step in steps:
                await self.play(step)

    def emit(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Add an event to the turn's transcript."""
        self.prompt.transcript.add_event(event_type, payload, self.host.clock())
        content = next((str(payload[name]) for name in _TEXT_FIELDS if name in payload), "")
        if event_type == "tool_use":
            self._block, self._said, self._result = "", [], None
        elif event_type == "result":
            self._said.append(content)
            self._result = content or None
        elif event_type in _TEXT_TYPES:
            self._said.append(content)
            # A delta continues a block only if no other event came in between.
            continues = self._is_block_open and payload.get("is_delta") is True
            self._block = self._block + content if continues else content
        self._is_block_open = event_type in _TEXT_TYPES

    def plan_end(self, status: str, final_result: str | None) -> None:
        """End the turn when the script is over, or at once if other steps follow: their events come late."""
        self._planned_end = status, final_result

    def finish(self) -> None:
        """End the turn, unless it has ended: the script is over.

        As on the service, a turn that succeeds has its final result among its events, after the last tool call.
        """
        status, final_result = self._planned_end or ("succeeded", None)
        if status == "succeeded" and self.prompt.is_open:
            self._say(final_result or "")
        self.end(status, final_result)

    def _say(self, final_result: str) -> None:
        """Emit the final result unless it has been said."""
        if "".join(final_result.split()) not in "".join("".join(self._said).split()):
            self.emit("result", {"result": final_result})

    def _end_early(self) -> None:
        if self._planned_end is not None:
            self.end(*self._planned_end)
            self._planned_end = None

    def end(self, status: str, final_result: str | None) -> None:
        """End the turn, with the final result so far unless one is given."""
        result = self.final_result if final_result is None else final_result
        self.prompt.end(status, result, self.host.clock())
        self.on_end(self.task)

    def delegate(self, text: str) -> ScriptPlayer:
        """Return the player of another agent, whose prompt belongs to the task but is none of its turns."""
        prompt = self.host.create_prompt(text)
        prompt.status = "running"
        self.task.delegated[prompt.id] = prompt
        return ScriptPlayer(self.host, self.task, prompt, self.on_end)
