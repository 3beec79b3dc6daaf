"""The scripts that wait for a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import re

    from rebyte_async.emulator.script.player import Steps

__all__ = ["Script"]


@define(eq=False)
class Script:
    """Steps for prompts to come."""

    steps: Steps
    prompt: re.Pattern[str] | None
    times: int | None
    played: int = field(default=0, init=False)
    """How many prompts have played it."""

    @property
    def is_spent(self) -> bool:
        """Whether it has been played as often as it should."""
        return self.times is not None and self.played >= self.times

    def fits(self, prompt: str) -> bool:
        """Whether it is for this prompt."""
        return not self.is_spent and (self.prompt is None or self.prompt.search(prompt) is not None)


@define(eq=False)
class Scripts:
    """All scripts: those for a number of prompts in their order, then those for every prompt, the newest first."""

    _numbered: list[Script] = field(factory=list[Script], init=False)
    _endless: list[Script] = field(factory=list[Script], init=False)

    def add(self, script: Script) -> None:
        """Take in a script."""
        if script.times is None:
            self._endless.insert(0, script)
        else:
            self._numbered.append(script)

    def take(self, prompt: str) -> Steps | None:
        """The steps for a prompt, if there is a script for it."""
        script = next((script for script in (*self._numbered, *self._endless) if script.fits(prompt)), None)
        if script is None:
            return None
        script.played += 1
        if script.is_spent:
            self._numbered.remove(script)
        return script.steps
