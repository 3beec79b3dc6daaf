"""Draws what isn't a turn on a terminal, with rich: tables, records, prose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from attrs import define, field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rebyte_async._terminal import sanitize
from rebyte_async.cli.view.prose import Prose
from rebyte_async.cli.view.table import GAP, Column, choose_columns
from rebyte_async.cli.view.text import status_style

ECHO = len("^C")
"""Columns to leave free at the end of a last line that is drawn again: the terminal echoes Ctrl-C there."""
_WIDEST = 100  # columns of prose: longer lines are hard to read, however wide the terminal is


def make_console(out: TextIO) -> Console:
    # Nothing that an agent or a server says is markup, and no :name: of theirs is an emoji.
    return Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=False, force_terminal=True)


class Redrawn(Live):
    """Draws a renderable again whenever it is refreshed, and removes it at the end."""

    def __init__(self, renderable: RenderableType, console: Console) -> None:
        # The view alone writes to the terminal meanwhile, so nothing needs to be redirected.
        super().__init__(
            renderable,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )


def prose_width(console: Console) -> int:
    return max(8, min(console.width, _WIDEST))


@define
class Screen:
    """A terminal to draw on."""

    console: Console = field(converter=make_console)

    def print_table(self, columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]]) -> None:
        """Print a table as wide as the terminal allows; where there is no room for one, two lines for each row."""
        chosen = choose_columns(columns, rows, self.console.width)
        if chosen is None:
            for row in rows:
                self._print_stacked(columns, row)
            return
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
        for column in (columns[index] for index in chosen):
            # rich narrows the columns that it may wrap; `_cell` has them cut instead of wrapped.
            table.add_column(
                column.heading, justify="right" if column.is_number else "left", no_wrap=not column.is_flexible
            )
        for row in rows:
            table.add_row(*(_cell(columns[index], row[index]) for index in chosen))
        self.console.print(table)

    def _print_stacked(self, columns: Sequence[Column[Any]], row: Sequence[str]) -> None:
        self.console.print(Text(row[0]), soft_wrap=True)
        cells = [_cell(column, cell) for column, cell in zip(columns[1:], row[1:], strict=True) if cell]
        if cells:
            below = Text("  ") + Text(" · ", "dim").join(cells)
            self.console.print(below, no_wrap=True, overflow="ellipsis")

    def print_fields(self, fields: Iterable[tuple[str, str, str]]) -> None:
        """Print fields, given as name, value and style, on a line each."""
        fields = list(fields)
        widest = max((len(name) for name, _, _ in fields), default=0)
        for name, value, style in fields:
            # No line is broken here, so that ids and addresses stay whole when they are copied.
            self.console.print(Text.assemble((f"{name:<{widest}}  ", "dim"), (value, style)), soft_wrap=True)

    def print_prose(self, text: str, style: str | None = "", *, heading: str | None = None) -> None:
        """Print a text, wrapped at words; with the style None it is styled as Markdown."""
        if heading is not None:
            self.console.print(Text(f"\n{heading}", style="dim"))
        prose = Prose(style)
        lines = prose.feed(sanitize(text).strip("\n") + "\n", prose_width(self.console))
        self.console.print(Group(*lines, *prose.finish()), overflow="fold")


def _cell(column: Column[Any], cell: str) -> Text:
    return Text(cell, status_style(cell) if column.is_status else "", no_wrap=True, overflow="ellipsis")
