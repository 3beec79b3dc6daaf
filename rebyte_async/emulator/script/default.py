"""What an agent does when nobody wrote a script for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.script import steps
from rebyte_async.emulator.script.endings import succeed
from rebyte_async.emulator.script.waits import pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async.emulator.script.player import Step
    from rebyte_async.emulator.script.turn import Turn

_LONGEST_ECHO = 60


def default_script(turn: Turn, pace: float) -> Iterator[Step]:
    """A short turn with every common kind of event, `pace` seconds between two of them."""
    for step in _steps(turn):
        yield step
        yield pause(pace)
    yield succeed()


def _steps(turn: Turn) -> Iterator[Step]:
    subject = turn.prompt.strip().partition("\n")[0][:_LONGEST_ECHO]
    yield steps.init(turn.prompt_id, model=turn.executor)
    yield steps.thinking(f"The user wants: {subject}")
    yield from map(steps.delta, ("I'll ", "take ", "a look."))
    yield steps.tool_use("Bash", {"command": "ls /code"})
    yield steps.tool_result("\n".join(turn.files) or "README.md", is_error=False)
    yield from map(steps.delta, ("Done: ", subject))
    yield steps.result(
        f"Done: {subject}", status="success", duration_ms=120, usage={"input_tokens": 42, "output_tokens": 7}
    )
