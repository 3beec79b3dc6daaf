"""The progress of a run as a bar with figures, drawn with rich, again and again: in a terminal and in a notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

from attrs import Factory, define, field
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rebyte_async._terminal import format_duration, is_terminal, one_line
from rebyte_async.batch import progress_lines as words
from rebyte_async.batch.progress import BatchProgress

_LONGEST_KEY = 60
_WIDEST_BAR = 40
_NOTEBOOK_WIDTH = 100  # columns
_NOTEBOOK_FORMAT = (
    "<pre style=\"overflow-x:auto;line-height:normal;font-family:Menlo,'DejaVu Sans Mono',consolas,monospace\">"
    "{code}</pre>"
)
_STYLES = {"completed": "green", "failed": "red", "error": "red"}


@define
class Picture:
    """A bar, the figures, and the tasks that run longest, each on a line, however narrow the output is."""

    hint: str = ""
    """What can be done meanwhile."""
    progress: BatchProgress | None = field(default=None, init=False)
    doing: str = field(default="", init=False)
    """What happens to the run now; it is shown in place of the hint."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        lines: list[Text] = []
        if self.progress is not None:
            yield _draw_bar(self.progress, options.max_width)
            lines += [*_figures(self.progress), *_slowest(self.progress)]
        if self.doing or self.hint:
            lines.append(Text(self.doing, style="yellow") if self.doing else Text(self.hint, style="dim"))
        for line in lines:
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def _draw_bar(progress: BatchProgress, width: int) -> RenderableType:
    done = Text(words.format_done(progress), style="bold", no_wrap=True, overflow="ellipsis")
    if not progress.total:
        return done
    bar_width = max(8, min(_WIDEST_BAR, width - 40))
    bar = ProgressBar(progress.total, progress.done, bar_width, complete_style="green", finished_style="green")
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(bar, f"{min(1.0, progress.done / progress.total):4.0%} ", done)
    return grid


def _figures(progress: BatchProgress) -> list[Text]:
    counts = [
        Text(f"{count:,} {status}", style=_STYLES.get(status, "yellow"))
        for status, count in words.sort_counts(progress)
    ]
    times = (words.format_rate(progress), f"{format_duration(progress.elapsed.total_seconds())} so far")
    left = words.format_time_left(progress)
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


def _make_console(file: Any, **options: Any) -> Console:
    # Nothing that an item or a server says is markup, and no :name: of theirs is an emoji.
    plain: dict[str, Any] = {
        "highlight": False,
        "markup": False,
        "emoji": False,
        "soft_wrap": False,
        "force_jupyter": False,
    }
    return Console(file=file, force_terminal=True, **plain, **options)


@define
class TerminalBar(words.ProgressView):
    """Draws on stderr. What the application prints meanwhile is above the picture."""

    picture: Picture = field(factory=Picture)
    is_alone: bool = False  # whether nothing else is printed meanwhile
    _live: Live = field(default=Factory(lambda bar: bar.make_live(), takes_self=True), init=False)

    def make_live(self) -> Live:
        return Live(
            self.picture,
            console=_make_console(sys.stderr),
            auto_refresh=False,
            transient=True,
            # What is printed into a file stays there.
            redirect_stdout=not self.is_alone and is_terminal(sys.stdout),
            redirect_stderr=not self.is_alone,
            vertical_overflow="crop",
        )

    def show(self, progress: BatchProgress, /) -> None:
        self.picture.progress = progress
        self._live.refresh()

    def finish(self, progress: BatchProgress, /) -> None:
        self._live.transient = False
        self.show(progress)

    def say(self, text: str, /) -> None:
        self.picture.doing = text
        self._live.refresh()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_alone:
            with suppress(OSError, ValueError):
                sys.stdout.flush()  # or rich would drop a line without its end
        self._live.stop()


@define
class NotebookBar(words.ProgressView):
    """Shows an HTML output of a cell, which is replaced again and again."""

    display: Callable[..., Any]  # IPython's
    refresh_interval: float = 0.5
    _picture: Picture = field(factory=Picture, init=False)
    _output: Any = field(default=None, init=False)

    def show(self, progress: BatchProgress, /) -> None:
        self._picture.progress = progress
        data = {"text/plain": words.format_line(progress), "text/html": to_html(self._picture)}
        if self._output is None:
            self._output = self.display(data, raw=True, display_id=True)
        else:
            self._output.update(data, raw=True)

    def finish(self, progress: BatchProgress, /) -> None:
        self.show(progress)


def to_html(picture: Picture) -> str:
    """Return a picture as HTML, in which all texts are escaped."""
    console = _make_console(io.StringIO(), record=True, width=_NOTEBOOK_WIDTH, color_system="truecolor")
    console.print(picture)
    return console.export_html(inline_styles=True, code_format=_NOTEBOOK_FORMAT)
