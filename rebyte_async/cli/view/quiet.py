"""The answer alone, for `answer=$(rebyte-async run --quiet …)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import click
from attrs import define

from rebyte_async.cli.view.clean import clean

if TYPE_CHECKING:
    from typing import TextIO

    from rebyte_async.cli.view.base import Ending, Stop
    from rebyte_async.types.events import TaskEvent

__all__ = ["QuietView"]


@define
class QuietView:
    """Writes the final result of a task that completed, and nothing else."""

    out: TextIO

    def started(self, task_id: str) -> None:
        """Do nothing."""

    def event(self, event: TaskEvent) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Do nothing."""

    def status(self, text: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Say it on stderr."""
        click.echo(f"warning: {text}", err=True)

    def ended(self, ending: Ending) -> None:
        """Write the answer."""
        if ending.result.status == "completed":
            self.out.write(clean(ending.result.final_result).rstrip("\n") + "\n")
            self.out.flush()

    def stopped(self, stop: Stop) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
