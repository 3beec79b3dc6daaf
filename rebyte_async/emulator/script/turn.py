"""What a script may know about the turn that it plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.emulator.state.questions import Answer

__all__ = ["Turn"]


@frozen(kw_only=True)
class Turn:
    """The turn that is being played, for steps that are functions."""

    task_id: str
    """The task's id."""
    prompt_id: str
    """The prompt's id."""
    prompt: str
    """What was asked."""
    number: int
    """Counts the turns of a task from 0."""
    executor: str
    """The executor that the task asked for."""
    skills: tuple[str, ...]
    """The skills that the prompt asked for."""
    files: tuple[str, ...]
    """The names of the files that came with the prompt."""
    answers: tuple[Answer, ...]
    """What was answered to the questions of this turn so far."""
