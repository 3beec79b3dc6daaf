"""How far transfers are: bars on a terminal, one line each at its end elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

import click
from attrs import define, field, frozen

from rebyte_async.cli.view.brief import duration
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.view.human import size
from rebyte_async.cli.view.keys import without_echo
from rebyte_async.cli.view.screens import is_screen, make_console

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import Progress, TaskID

    from rebyte_async.cli.view.base import View

__all__ = ["Bar", "Bars", "bars_in", "busy", "make_bars"]

_LONGEST_NAME = 30
_ROOMY = 80
"""Columns from which on there is room for speed and time as well."""
_BAR = 20


class Bar(Protocol):
    """Shows one transfer."""

    def show(self, done: int, total: int, /) -> None:
        """So many bytes are through; of how many, or 0 where that isn't known."""
        ...

    def end(self, verb: str, count: int, /) -> None:
        """It is complete."""
        ...


class Bars(Protocol):
    """Shows transfers while they go on."""

    def begin(self, name: str) -> Bar:
        """One begins."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def make_bars(*, quiet: bool = False) -> Bars:
    """What fits stderr; nothing at all when `quiet`."""
    if quiet:
        return _PlainBars(lambda _name: _QuietBar())
    return _RichBars() if is_screen(sys.stderr) else _PlainBars(_LineBar)


def bars_in(view: View) -> Bars:
    """Bars in the status line of a view, which has the screen for itself."""
    return _PlainBars(partial(_ViewBar, view))


@contextmanager
def busy(doing: str) -> Generator[None]:
    """Show on a terminal that something takes its time, until the block is left."""
    if not is_screen(sys.stderr):
        yield
        return
    with without_echo(), make_console(sys.stderr).status(f"{doing}  Ctrl-C to leave", spinner_style="green"):
        yield


@frozen
class _LineBar:
    name: str
    began: float = field(factory=time.monotonic, init=False)

    def show(self, done: int, total: int, /) -> None:
        """Do nothing."""

    def end(self, verb: str, count: int, /) -> None:
        """Write the line."""
        took = duration(time.monotonic() - self.began)
        click.echo(f"{verb} {one_line(self.name)} ({size(count)} in {took})", err=True)


@frozen
class _QuietBar:
    def show(self, done: int, total: int, /) -> None:
        """Do nothing."""

    def end(self, verb: str, count: int, /) -> None:
        """Do nothing."""


@frozen
class _ViewBar:
    view: View
    name: str

    def show(self, done: int, total: int, /) -> None:
        """Draw it in the status line."""
        part = done / total if total else 1.0
        filled = round(_BAR * part)
        bar = "━" * filled + "╌" * (_BAR - filled)
        self.view.status(f"uploading {one_line(self.name, _LONGEST_NAME)}  {bar} {part:.0%}")

    def end(self, verb: str, count: int, /) -> None:
        """Have the view say so."""
        self.view.note(f"{verb} {one_line(self.name)} ({size(count)})")


@frozen
class _PlainBars:
    """Says on stderr what is complete, or has a view say it."""

    make: Callable[[str], Bar]

    def begin(self, name: str) -> Bar:
        """One begins."""
        bar = self.make(name)
        bar.show(0, 1)
        return bar

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _progress() -> Progress:
    from rich.progress import (  # noqa: PLC0415 - it takes time, and only a terminal needs it
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = make_console(sys.stderr)
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)]
    columns += [TaskProgressColumn(), DownloadColumn()]
    if console.width >= _ROOMY:
        columns += [TransferSpeedColumn(), TimeRemainingColumn()]
    return Progress(
        *columns, console=console, transient=True, expand=True, redirect_stdout=False, redirect_stderr=False
    )


@frozen
class _RichBar:
    progress: Progress
    number: TaskID

    def show(self, done: int, total: int, /) -> None:
        """Draw it."""
        self.progress.update(self.number, completed=done, total=total or None)

    def end(self, verb: str, count: int, /) -> None:
        """Remove it."""
        del verb, count
        self.progress.refresh()
        self.progress.remove_task(self.number)


@define
class _RichBars:
    """Draws a bar for each that is under way; what is complete vanishes, for the command says what came of it."""

    _progress: Progress = field(factory=_progress, init=False)
    _keys: ExitStack = field(factory=ExitStack, init=False)

    def begin(self, name: str) -> Bar:
        """Draw its bar."""
        return _RichBar(self._progress, self._progress.add_task(one_line(name, _LONGEST_NAME), total=None))

    def __enter__(self) -> Self:
        self._keys.enter_context(without_echo())
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._keys.close()
