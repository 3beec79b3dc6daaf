"""How far transfers are, drawn again and again on a terminal, and removed at the end."""

from __future__ import annotations

import sys
from typing import Self

from attrs import define, field
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rebyte_async._terminal import one_line
from rebyte_async.cli.view import progress as words
from rebyte_async.cli.view.screen import ECHO, make_console

_ROOMY = 80  # columns from which on there is room for speed and time as well


def _make_progress() -> Progress:
    console = make_console(sys.stderr)
    console.width -= ECHO
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)]
    columns += [TaskProgressColumn(), DownloadColumn()]
    if console.width >= _ROOMY:
        columns += [TransferSpeedColumn(), TimeRemainingColumn()]
    return Progress(
        *columns, console=console, transient=True, expand=True, redirect_stdout=False, redirect_stderr=False
    )


@define
class BarView(words.TransferView):
    """Draws a bar while a transfer runs; what is complete vanishes, since the command says what became of it."""

    _progress: Progress = field(factory=_make_progress, init=False)
    _bar: TaskID | None = field(default=None, init=False)

    def update(self, done: int, total: int, /) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task(one_line(self.name, words.LONGEST_NAME), total=None)
        else:
            self._progress.update(self._bar, completed=done, total=total or None)

    def finish(self, verb: str) -> None:  # noqa: ARG002 - of the base class
        self._progress.refresh()
        if self._bar is not None:
            self._progress.remove_task(self._bar)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
