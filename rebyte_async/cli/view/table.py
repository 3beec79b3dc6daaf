"""Lists: a table on a terminal, lines with tabs for other programs, or a JSON object a line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen

from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.view.human import flat, human, style_of_word
from rebyte_async.cli.view.screens import is_screen, make_console

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Sequence

    from rich.console import Console
    from rich.text import Text

__all__ = ["Column", "lay_out", "show_items", "show_list"]

T = TypeVar("T")
_GAP = 2
_NARROWEST = 10
"""Columns that a flexible column wants at least, before another one is left out in its favor."""


@frozen(kw_only=True)
class Column(Generic[T]):
    """A column; the first one of a table identifies its row, and is never cut."""

    heading: str
    of: Callable[[T], Any]
    human: Callable[[Any], str] = human
    """The value as a terminal shows it."""
    rank: int = 0
    """Of the columns that may be left out for want of room, those with the highest rank go first; 0 stays."""
    is_flexible: bool = False
    """Whether it may be cut."""
    is_number: bool = False
    """Whether it stands on the right."""
    is_status: bool = False
    """Whether it is colored by its word."""


async def show_list(items: AsyncIterable[T], columns: Sequence[Column[T]], *, as_json: bool, empty: str) -> int:
    """Show a list on stdout, as it fits there; what isn't a table comes line by line.

    Args:
        items: What to show.
        columns: How, where it isn't JSON.
        as_json: Whether it shall be a JSON object a line.
        empty: What to say on a terminal when there is nothing.

    Returns:
        How many there were.
    """
    if not as_json and is_screen(sys.stdout):
        rows = [item async for item in items]
        _draw(make_console(sys.stdout), rows, columns, empty)
        return len(rows)
    count = 0
    async for item in items:
        _write(item, columns, as_json=as_json)
        count += 1
    return count


def show_items(items: Sequence[T], columns: Sequence[Column[T]], *, as_json: bool, empty: str) -> None:
    """Show a list that is there at once: see `show_list`."""
    if not as_json and is_screen(sys.stdout):
        _draw(make_console(sys.stdout), items, columns, empty)
        return
    for item in items:
        _write(item, columns, as_json=as_json)


def _write(item: T, columns: Sequence[Column[T]], *, as_json: bool) -> None:
    line = as_line(item) if as_json else "\t".join(flat(column.of(item)) for column in columns)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _draw(console: Console, items: Sequence[T], columns: Sequence[Column[T]], empty: str) -> None:
    from rich.text import Text  # noqa: PLC0415 - it takes time, and only a terminal needs it

    cells = [[column.human(column.of(item)) for column in columns] for item in items]
    if not cells:
        console.print(Text(empty, style="dim"))
        return
    said = [index for index in range(len(columns)) if index == 0 or any(row[index] for row in cells)]
    kept = [columns[index] for index in said]
    cells = [[row[index] for index in said] for row in cells]
    widths = lay_out([column.heading for column in kept], cells, kept, console.width)
    if widths is None:
        for row in cells:
            _print_stacked(console, row, kept)
        return
    console.print(_line([Text(column.heading, style="dim") for column in kept], widths, kept))
    for row in cells:
        texts = [Text(cell, style=_style(column, cell)) for column, cell in zip(kept, row, strict=True)]
        console.print(_line(texts, widths, kept))


def lay_out(
    headings: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[Column[Any]], room: int
) -> list[int] | None:
    """The width of each column, 0 for one that is left out.

    Args:
        headings: What stands above.
        rows: What stands in each.
        columns: Which of them may be cut or left out.
        room: The width of all together.

    Returns:
        The widths, or None when there is no room for a table.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - only a terminal needs it

    wanted = [max(cell_len(heading), *(cell_len(row[index]) for row in rows)) for index, heading in enumerate(headings)]
    least = [
        min(want, _NARROWEST) if column.is_flexible else want for want, column in zip(wanted, columns, strict=True)
    ]
    shown = set(range(len(columns)))
    by_rank = sorted((index for index in shown if columns[index].rank), key=lambda index: -columns[index].rank)
    while sum(least[index] for index in shown) + _GAP * (len(shown) - 1) > room:
        if not by_rank:
            return None
        shown.discard(by_rank.pop(0))
    widths = [least[index] if index in shown else 0 for index in range(len(columns))]
    spare = room - sum(widths) - _GAP * (len(shown) - 1)
    for index in sorted(shown):
        more = min(spare, wanted[index] - widths[index])
        widths[index] += more
        spare -= more
    return widths


def _line(texts: list[Text], widths: list[int], columns: list[Column[Any]]) -> Text:
    from rich.text import Text as Line  # noqa: PLC0415 - only a terminal needs it

    line = Line()
    for text, width, column in zip(texts, widths, columns, strict=True):
        if width:
            line.append(" " * (_GAP if line.plain else 0))
            text.truncate(width, overflow="ellipsis")
            text.align("right" if column.is_number else "left", width)
            line.append_text(text)
    line.rstrip()
    return line


def _print_stacked(console: Console, row: list[str], columns: list[Column[T]]) -> None:
    """What doesn't fit into a table: what identifies it on a line of its own, and the rest below."""
    from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

    console.print(Text(row[0]), soft_wrap=True)
    pairs = [(cell, column) for cell, column in zip(row[1:], columns[1:], strict=True) if cell]
    below = Text("  ")
    for cell, column in pairs:
        below.append(" · " if below.plain.strip() else "", "dim")
        below.append(cell, _style(column, cell))
    if pairs:
        below.truncate(console.width, overflow="ellipsis")
        console.print(below)


def _style(column: Column[Any], cell: str) -> str:
    return style_of_word(cell) if column.is_status else ""
