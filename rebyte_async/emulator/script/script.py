"""The scripts that are waiting for a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import re

    from rebyte_async.emulator.script.player import Steps


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

    _limited: list[Script] = field(factory=list[Script], init=False)
    _unlimited: list[Script] = field(factory=list[Script], init=False)

    def add(self, script: Script) -> None:
        """Add a script."""
        if script.times is None:
            self._unlimited.insert(0, script)
        else:
            self._limited.append(script)

    def take(self, prompt: str) -> Steps | None:
        """Return the steps to play for a prompt, and count that; None if no script fits."""
        script = next((script for script in (*self._limited, *self._unlimited) if script.fits(prompt)), None)
        if script is None:
            return None
        script.played += 1
        if script.is_spent:
            self._limited.remove(script)
        return script.steps
