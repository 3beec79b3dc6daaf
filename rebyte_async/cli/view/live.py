"""How far transfers and batches are, drawn again and again on a terminal, and removed at the end."""

from __future__ import annotations

import sys
from typing import Self

from attrs import Factory, define, field
from rich.console import Console, Group, RenderableType
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
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rebyte_async.batch import BatchProgress
from rebyte_async.cli.view import progress as words
from rebyte_async.cli.view.screen import ECHO, Redrawn, make_console
from rebyte_async.cli.view.text import format_duration, one_line, status_style

_LONGEST_KEY = 60
_ROOMY = 80  # columns from which on there is room for speed and time as well
_BAR = 40


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


@define
class LiveBatchView(words.BatchView):
    """Draws the same few lines again and again."""

    console: Console = field(factory=lambda: make_console(sys.stderr), init=False)
    _live: Redrawn = field(default=Factory(lambda view: Redrawn(view, view.console), takes_self=True), init=False)
    _progress: BatchProgress | None = field(default=None, init=False)
    _total: int | None = field(default=None, init=False)
    _doing: str = field(default="", init=False)

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        self._progress, self._total = progress, total
        self._live.refresh()

    def say(self, text: str, /) -> None:
        self._doing = text
        self._live.refresh()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich__(self) -> RenderableType:
        progress = self._progress
        lines = [] if progress is None else [*self._facts(progress), *_slowest(progress)]
        lines.append(Text(self._doing, style="yellow") if self._doing else Text("Ctrl-C to stop", style="dim"))
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        return Group(*lines) if progress is None else Group(self._bar(progress), *lines)

    def _bar(self, progress: BatchProgress) -> RenderableType:
        done = Text(words.format_done(progress, self._total), style="bold", no_wrap=True, overflow="ellipsis")
        if not self._total:
            return done
        width = max(8, min(_BAR, self.console.width - 40))
        bar = ProgressBar(self._total, progress.done, width, complete_style="green", finished_style="green")
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(bar, f"{min(1.0, progress.done / self._total):4.0%} ", done)
        return grid

    def _facts(self, progress: BatchProgress) -> list[Text]:
        counts = [
            Text(f"{count:,} {status}", style=status_style(status) or "yellow")
            for status, count in words.sort_counts(progress)
        ]
        times = (words.format_rate(progress), f"{format_duration(progress.elapsed.total_seconds())} so far")
        left = words.format_time_left(progress, self._total)
        return [
            Text("  ").join([Text(words.format_open(progress), style="cyan"), *counts]),
            Text("  ".join(filter(None, (*times, left))), style="dim"),
        ]


def _slowest(progress: BatchProgress) -> list[Text]:
    lines = [
        Text.assemble(
            (f"{format_duration(item.running_for.total_seconds()):>10}  ", "cyan"),
            one_line(item.key, _LONGEST_KEY),
            (f"  {one_line(item.task_id)}", "dim"),
        )
        for item in progress.slowest
    ]
    return [Text("slowest of those that run:", style="dim"), *lines] if lines else []
