"""The step in which an agent hands work to another, whose events are read on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from rebyte_async.emulator.script.player import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.script.player import ScriptPlayer, Steps

__all__ = ["Delegate", "delegate"]


@frozen(kw_only=True)
class Delegate:
    """A tool_use and a tool_result that name a sub-prompt, and what the other agent does in between."""

    prompt: str
    steps: Steps
    late: Steps = ()
    name: str = "delegate"
    output: str = ""
    extra: Mapping[str, Any] = field(factory=dict[str, Any])

    async def play(self, player: ScriptPlayer) -> None:
        """Hand over, wait, and report."""
        other = player.delegate(self.prompt)
        tool_id = player.state.ids.token("toolu_")
        reference = {"id": tool_id, "subPromptId": other.prompt.id, **self.extra}
        player.emit("tool_use", {**reference, "name": self.name, "input": {"prompt": self.prompt}})
        await other.play(self.steps)
        other.end("succeeded", None)
        player.emit("tool_result", {**reference, "output": self.output or other.final_result})
        player.state.spawn(other.play(self.late))


def delegate(prompt: str, *steps: Steps, late: Steps = (), name: str = "delegate", output: str = "") -> Delegate:
    """Hand work to another agent.

    Args:
        prompt: What the other agent is asked.
        steps: What it does; its events are at `GET /tasks/:id/prompts/:promptId/events`.
        late: What it still does when its result has been reported already.
        name: The tool's name.
        output: The tool's result; empty takes what the other agent said last.
    """
    return Delegate(prompt=prompt, steps=checked(steps), late=checked(late), name=name, output=output)
