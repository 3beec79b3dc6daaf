"""The scripts that are waiting for a prompt, and the default script for a prompt without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from attrs import define, field

from rebyte_async.emulator.script import steps
from rebyte_async.emulator.script.player import Step, Steps
from rebyte_async.emulator.script.turn import Turn

_MAX_ECHO = 60


@define(eq=False)
class Script:
    """Steps to play for future prompts."""

    steps: Steps
    prompt: re.Pattern[str] | None
    times: int | None
    played: int = field(default=0, init=False)
    """For how many prompts it was played."""

    @property
    def is_spent(self) -> bool:
        """Whether it has been played as often as requested."""
        return self.times is not None and self.played >= self.times

    def fits(self, prompt: str) -> bool:
        """Return whether it may be played for a prompt."""
        return not self.is_spent and (self.prompt is None or self.prompt.search(prompt) is not None)


@define(eq=False)
class Scripts:
    """All scripts: those with a limit in their order, then those for every prompt, the newest first."""

    pace_seconds: float
    """The pause after each event of the default script."""
    _limited: list[Script] = field(factory=list[Script], init=False)
    _unlimited: list[Script] = field(factory=list[Script], init=False)

    def add(self, script: Script) -> None:
        if script.times is None:
            self._unlimited.insert(0, script)
        else:
            self._limited.append(script)

    def take(self, prompt: str) -> Steps:
        """Return the steps to play for a prompt, and count that for their script."""
        script = next((script for script in (*self._limited, *self._unlimited) if script.fits(prompt)), None)
        if script is None:
            return partial(default_script, pace_seconds=self.pace_seconds)
        script.played += 1
        if script.is_spent:
            self._limited.remove(script)
        return script.steps


def default_script(turn: Turn, pace_seconds: float) -> Iterator[Step]:
    """Yield the steps of a short, plausible turn with every common kind of event."""
    subject = turn.prompt.strip().partition("\n")[0][:_MAX_ECHO]
    usage = {"input_tokens": 42, "output_tokens": 7}
    events: tuple[Step, ...] = (
        steps.init(turn.prompt_id, model=turn.executor),
        steps.thinking(f"The user wants: {subject}"),
        *map(steps.delta, ("I'll ", "take ", "a look.")),
        steps.tool_use("Bash", {"command": "ls /code"}),
        steps.tool_result("\n".join(turn.files) or "README.md", is_error=False),
        *map(steps.delta, ("Done: ", subject)),
        steps.result(f"Done: {subject}", status="success", duration_ms=120, usage=usage),
    )
    for event in events:
        yield event
        yield steps.pause(pace_seconds)
    yield steps.succeed()
