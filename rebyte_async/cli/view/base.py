"""What every view of a task does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from attrs import frozen

if TYPE_CHECKING:
    from rebyte_async.types.events import TaskEvent
    from rebyte_async.types.tasks import TaskResult

__all__ = ["Ending", "Stop", "View"]


@frozen(kw_only=True)
class Ending:
    """The end of the turn."""

    result: TaskResult
    prompt_id: str | None
    last_seq: int | None
    cursor: str
    seconds: float
    """How long it was watched."""


@frozen(kw_only=True)
class Stop:
    """The end of the watching before the end of the turn."""

    error: str
    """The class of what happened, such as `NotFoundError` or `Interrupted`."""
    message: str
    exit_code: int
    task_id: str | None
    cursor: str | None


class View(Protocol):
    """Shows a turn of a task on stdout while it goes on; what is no part of it goes to stderr, and not through here."""

    def started(self, task_id: str) -> None:
        """The task is known."""
        ...

    def event(self, event: TaskEvent) -> None:
        """Something happened in it."""
        ...

    def tick(self) -> None:
        """Time goes by; called some times a second."""
        ...

    def status(self, text: str) -> None:
        """Show, where there is a place for it, what is being waited for."""
        ...

    def note(self, text: str) -> None:
        """Something was done for the turn before it began, such as an upload."""
        ...

    def warn(self, text: str) -> None:
        """Something is amiss in the watching, which goes on; where it would be in the way, this goes to stderr."""
        ...

    def ended(self, ending: Ending) -> None:
        """The turn has ended."""
        ...

    def stopped(self, stop: Stop) -> None:
        """The watching ends before the turn does."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
