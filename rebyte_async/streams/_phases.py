"""The state machine of a stream: its phases, what moves it from one to another, and the actions of a step.

docs/design.md shows `TRANSITIONS` as a diagram, and a test compares the two.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.errors import RebyteError
    from rebyte_async.types.tasks import PromptContent, Task, TaskContent

__all__ = [
    "CONTINUE",
    "PAUSE",
    "TRANSITIONS",
    "Action",
    "BackOff",
    "Finding",
    "GiveUp",
    "IgnoreTurn",
    "InjectTail",
    "LeaveStream",
    "Phase",
    "ReadContent",
    "ReadResult",
    "ReadSubPrompts",
    "ReadTask",
    "ScheduleWait",
    "Wait",
]

PAUSE = 1.0
"""Seconds before the next look at a turn that shows nothing yet, or whose tail is missing (contract §4.4, §4.5)."""


class Phase(Enum):
    """What a stream is doing."""

    FOLLOWING = "following"
    """Reading events while the turn makes them."""
    VERIFYING = "verifying"
    """The stream was idle: the task is read before anything else."""
    DRAINING = "draining"
    """The turn has ended: the stream is read again until its tail is complete."""
    READING_CONTENT = "reading content"
    """A later turn has taken the stream over: the tail is read from the task's content."""
    FINISHING = "finishing"
    """All of the turn's events were delivered: the last of its delegations and the final result are read."""
    ENDED = "ended"
    """`done` is set; nothing more is sent."""


class Finding(Enum):
    """What moves a stream from one phase to another."""

    IDLE = "nothing came for the idle timeout"
    RUNNING = "the task says that the turn is running"
    ENDED = "a done frame or the task says that the turn has ended"
    SUPERSEDED = "a later turn has taken the stream over"
    EMPTY = "the turn has ended without any event"
    NOTHING_MISSING = "the tail is complete, or was read often enough"
    RESULT = "the final result is known"


TRANSITIONS = {
    (Phase.FOLLOWING, Finding.IDLE): Phase.VERIFYING,
    (Phase.FOLLOWING, Finding.RUNNING): Phase.FOLLOWING,
    (Phase.FOLLOWING, Finding.ENDED): Phase.DRAINING,
    (Phase.FOLLOWING, Finding.SUPERSEDED): Phase.READING_CONTENT,
    (Phase.FOLLOWING, Finding.EMPTY): Phase.FINISHING,
    (Phase.VERIFYING, Finding.RUNNING): Phase.FOLLOWING,
    (Phase.VERIFYING, Finding.ENDED): Phase.DRAINING,
    (Phase.DRAINING, Finding.ENDED): Phase.DRAINING,
    (Phase.DRAINING, Finding.SUPERSEDED): Phase.READING_CONTENT,
    (Phase.DRAINING, Finding.NOTHING_MISSING): Phase.FINISHING,
    (Phase.READING_CONTENT, Finding.NOTHING_MISSING): Phase.FINISHING,
    (Phase.FINISHING, Finding.RESULT): Phase.ENDED,
}
"""Every transition there is. A finding that a phase doesn't know is a mistake in this package, and a `KeyError`."""


# --- Actions: what the reader is to do next ------------------------------------------------------------------------


@frozen
class ReadTask:
    """Read the task."""

    then: Callable[[Task], Action]


@frozen
class ReadContent:
    """Read the task's content; where it can't be had, `then` is given the error instead."""

    then: Callable[[TaskContent | None, RebyteError | None], Action]


@frozen
class ReadSubPrompts:
    """Read the events of all delegations, and deliver them."""

    then: Callable[[], Action]


@frozen
class ReadResult:
    """Read the task for its final result: None where it can't be read, which loses nothing but the result."""

    then: Callable[[Task | None], Action]


@frozen
class InjectTail:
    """Deliver the turn as its content has it."""

    content: PromptContent


@frozen
class IgnoreTurn:
    """Skip the events of an earlier turn that the connection shows, and read on."""

    prompt_id: str


@frozen
class LeaveStream:
    """Close the connection and drop what it has brought unread."""

    then: Action


@frozen
class Wait:
    """Wait now."""

    seconds: float = PAUSE


@frozen
class ScheduleWait:
    """Wait before the next step, so that what was read is delivered first."""

    seconds: float = PAUSE


@frozen
class BackOff:
    """Wait as after a first failure: with jitter, so that many streams that were closed at once spread out."""


@frozen
class GiveUp:
    """Raise `StreamInterruptedError`."""

    reason: str
    cause: RebyteError | None = None


@frozen
class Continue:
    """Take the next step as the phase says."""


CONTINUE = Continue()
Action = (
    ReadTask
    | ReadContent
    | ReadSubPrompts
    | ReadResult
    | InjectTail
    | IgnoreTurn
    | LeaveStream
    | Wait
    | ScheduleWait
    | BackOff
    | GiveUp
    | Continue
)
