"""The script that is played for a prompt without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.script import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async.emulator.script.player import Step
    from rebyte_async.emulator.script.turn import Turn

_MAX_ECHO = 60


def default_script(turn: Turn, pace_seconds: float) -> Iterator[Step]:
    """Yield the steps of a short, plausible turn with every common kind of event.

    Args:
        turn: The turn.
        pace_seconds: The pause after each event, in seconds.
    """
    for event in _events(turn):
        yield event
        yield steps.pause(pace_seconds)
    yield steps.succeed()


def _events(turn: Turn) -> Iterator[Step]:
    subject = turn.prompt.strip().partition("\n")[0][:_MAX_ECHO]
    yield steps.init(turn.prompt_id, model=turn.executor)
    yield steps.thinking(f"The user wants: {subject}")
    yield from map(steps.delta, ("I'll ", "take ", "a look."))
    yield steps.tool_use("Bash", {"command": "ls /code"})
    yield steps.tool_result("\n".join(turn.files) or "README.md", is_error=False)
    yield from map(steps.delta, ("Done: ", subject))
    yield steps.result(
        f"Done: {subject}", status="success", duration_ms=120, usage={"input_tokens": 42, "output_tokens": 7}
    )
