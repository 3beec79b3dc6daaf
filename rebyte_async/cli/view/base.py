"""What every view of a turn does, and how a turn and the watching of it end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import click
from attrs import frozen

from rebyte_async.types import TaskEvent, TaskResult


@frozen(kw_only=True)
class Downloaded:
    """A downloaded artifact."""

    name: str
    path: str  # the file that it was written to
    size: int  # the size in bytes


@frozen(kw_only=True)
class Finished:
    """The end of the turn."""

    result: TaskResult
    prompt_id: str | None
    last_seq: int | None
    cursor: str
    seconds: float  # how long the turn was watched
    files: Sequence[Downloaded] | None = None  # the artifacts that were downloaded then; None where none were asked for


@frozen(kw_only=True)
class Interrupted:
    """The end of the watching before the end of the turn."""

    error: str  # the class of the error, such as `NotFoundError`, or `Interrupted` or `TimeoutError`
    message: str
    exit_code: int
    task_id: str | None
    cursor: str | None
    workspace_id: str | None = None


class Shown:
    """Is on the screen until its block is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class View(Shown):
    """Shows a turn on stdout while it runs; a subclass overrides what it shows. Errors go to stderr, not to a view."""

    def begin(self, task_id: str, workspace_id: str | None) -> None:
        """Show which task it is, and on which agent computer where that is known, as soon as it is."""

    def show(self, event: TaskEvent) -> None:
        """Show an event."""

    def refresh(self) -> None:
        """Draw again what changes with time; called several times a second."""

    def set_status(self, text: str) -> None:
        """Show, where there is a status line, what the command waits for."""

    def note(self, text: str) -> None:
        """Say what was done for the turn before it began, such as an upload."""

    def warn(self, text: str) -> None:
        """Say that the watching continues although something is wrong."""
        click.echo(f"warning: {text}", err=True)

    def finish(self, finished: Finished) -> None:
        """Show the end of the turn."""

    def interrupt(self, interrupted: Interrupted) -> None:
        """Show that the watching ended before the turn."""
