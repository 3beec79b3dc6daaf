"""The player: where the steps of a script are played, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from attrs import Factory, define, field

from rebyte_async.emulator.script.machine import AgentFilesystem
from rebyte_async.emulator.script.turn import Turn
from rebyte_async.emulator.webhooks.announce import announce

if TYPE_CHECKING:
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.prompts import Prompt
    from rebyte_async.emulator.state.questions import Answer
    from rebyte_async.emulator.state.tasks import Task

__all__ = ["ScriptPlayer", "Step"]

_TEXT_TYPES = frozenset({"text", "assistant", "message", "response"})
_TEXT_FIELDS = ("content", "text", "result")


@runtime_checkable
class Step(Protocol):
    """Something that an agent does."""

    async def play(self, player: ScriptPlayer) -> None:
        """Do it."""
        ...


Steps: TypeAlias = Step | Callable[[Turn], "Steps | None"] | Iterable["Steps"]


def checked(steps: Steps) -> tuple[Steps, ...]:
    """Steps as a flat tuple, which can be played again and again.

    Raises:
        TypeError: There is something among them that can't be played.
    """
    if isinstance(steps, Step) or callable(steps):
        return (steps,)
    if isinstance(steps, str) or not hasattr(steps, "__iter__"):
        raise TypeError(f"this is no step of a script: {steps!r}")
    return tuple(step for part in steps for step in checked(part))


@define(eq=False)
class ScriptPlayer:
    """One turn while it is played; what the steps of a script act on."""

    state: State
    task: Task
    prompt: Prompt
    answers: list[Answer] = field(factory=list["Answer"], init=False)
    tool_id: str = field(default="", init=False)
    machine: AgentFilesystem = field(
        init=False, default=Factory(lambda player: AgentFilesystem(player.task.workspace.files), takes_self=True)
    )
    _block: str = field(default="", init=False)
    _block_open: bool = field(default=False, init=False)
    _result: str | None = field(default=None, init=False)

    @property
    def turn(self) -> Turn:
        """What a step that is a function gets to know."""
        return Turn(
            task_id=self.task.id,
            prompt_id=self.prompt.id,
            prompt=self.prompt.text,
            workspace_id=self.task.workspace_id,
            number=len(self.task.prompts) - 1,
            executor=self.task.executor,
            skills=self.prompt.skills,
            files=tuple(file.filename for file in self.prompt.files),
            answers=tuple(self.answers),
            machine=self.machine,
        )

    @property
    def final_result(self) -> str:
        """What the agent said last: its result event, else its last block of text."""
        return self._block if self._result is None else self._result

    async def play(self, steps: Steps) -> None:
        """Play steps in their order; a function is called when its turn comes, and what it returns is played."""
        if isinstance(steps, Step):
            await steps.play(self)
        elif callable(steps):
            await self.machine.load()
            await self.play(steps(self.turn) or ())
        else:
            for step in steps:
                await self.play(step)

    def emit(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Say something."""
        self.prompt.transcript.add(event_type, payload, self.state.clock())
        self._listen(event_type, payload)

    def end(self, status: str, final_result: str | None) -> None:
        """End the turn; without a result of its own it ends with what was said last."""
        result = self.final_result if final_result is None else final_result
        self.prompt.end(status, result, self.state.clock())
        announce(self.state, self.task)

    def delegate(self, prompt: str) -> ScriptPlayer:
        """A player for another agent, whose prompt is the task's but none of its turns."""
        other = self.state.make_prompt(prompt)
        other.start()
        self.task.delegated[other.id] = other
        return ScriptPlayer(self.state, self.task, other)

    def _listen(self, event_type: str, payload: Mapping[str, Any]) -> None:
        said = next((str(payload[name]) for name in _TEXT_FIELDS if name in payload), "")
        if event_type == "result":
            self._result = said or None
        elif event_type in _TEXT_TYPES:
            goes_on = self._block_open and payload.get("is_delta") is True
            self._block = self._block + said if goes_on else said
        self._block_open = event_type in _TEXT_TYPES
