"""What an agent does when nobody wrote a script for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.script import events
from rebyte_async.emulator.script.endings import succeed
from rebyte_async.emulator.script.waits import pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async.emulator.script.stage import Step
    from rebyte_async.emulator.script.turn import Turn

_LONGEST_ECHO = 60


def plausible(turn: Turn, pace: float) -> Iterator[Step]:
    """A short turn with every common kind of event, `pace` seconds between two of them."""
    for step in _steps(turn):
        yield step
        yield pause(pace)
    yield succeed()


def _steps(turn: Turn) -> Iterator[Step]:
    subject = turn.prompt.strip().partition("\n")[0][:_LONGEST_ECHO]
    yield events.init(turn.prompt_id, model=turn.executor)
    yield events.thinking(f"The user wants: {subject}")
    yield from map(events.delta, ("I'll ", "take ", "a look."))
    yield events.tool_use("Bash", {"command": "ls /code"})
    yield events.tool_result("\n".join(turn.files) or "README.md", is_error=False)
    yield from map(events.delta, ("Done: ", subject))
    yield events.result(
        f"Done: {subject}", status="success", duration_ms=120, usage={"input_tokens": 42, "output_tokens": 7}
    )
