"""The next actions of a stream, as values: `CompletionDetector` returns them, and `TurnReader` carries them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rebyte_async.errors import RebyteError
from rebyte_async.types.tasks import PromptContent, Task, TaskContent

PAUSE = 1.0
"""Seconds before the next look at a turn that shows nothing yet, or whose tail is missing (contract §4.4, §4.5)."""


class ReadTask(NamedTuple):
    then: Callable[[Task], Action]


class ReadResult(NamedTuple):
    """Read the task for its final result: None where it can't be read, which loses nothing else."""

    then: Callable[[Task | None], Action]


class ReadContent(NamedTuple):
    """Read the task's content; where it can't be had, `then` is given the error instead."""

    then: Callable[[TaskContent | None, RebyteError | None], Action]
    is_single_try: bool = False  # whether a failure isn't waited out


class ReadSubPrompts(NamedTuple):
    """Read the events of all delegations, and deliver them."""

    then: Callable[[], Action]


class InjectTail(NamedTuple):
    """Deliver the turn as its content has it."""

    content: PromptContent


class IgnoreTurn(NamedTuple):
    """Skip the events of an earlier turn that the connection shows."""

    prompt_id: str


class LeaveStream(NamedTuple):
    """Close the connection and drop what it has brought unread."""

    then: Action


class Wait(NamedTuple):
    seconds: float | None = PAUSE
    """None waits as after a first failure: with jitter, so that streams that were closed together spread out."""
    is_deferred: bool = False  # whether what was read is delivered before the wait


class GiveUp(NamedTuple):
    """Raise `StreamInterruptedError`."""

    reason: str
    cause: RebyteError | None = None
    last_status: str | None = None  # where it is the reason


class Continue:
    """Take the next step."""


CONTINUE = Continue()
Read = ReadTask | ReadResult | ReadContent | ReadSubPrompts
Action = Read | InjectTail | IgnoreTurn | LeaveStream | Wait | GiveUp | Continue
