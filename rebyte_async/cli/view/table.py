"""The columns of lists, and which of them there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen
from rich.cells import cell_len

from rebyte_async.cli.view.text import format_plain, format_value

T = TypeVar("T")

GAP = 2  # spaces between two columns
_NARROWEST = 10  # the least width of a flexible column; a column of higher rank is left out before it gets narrower


@frozen(kw_only=True)
class Column(Generic[T]):
    """A column; the first one of a table identifies its row, and is never cut."""

    heading: str
    of: Callable[[T], Any]  # takes the value from an item
    format: Callable[[Any], str] = format_value  # writes the value for a terminal
    rank: int = 0
    """Where there is too little room, columns of the highest rank are left out first; those of rank 0 stay."""
    is_flexible: bool = False  # whether it may be cut
    is_number: bool = False  # whether it is aligned right
    is_status: bool = False  # whether it has the color of its status

    def cell(self, item: T) -> str:
        return self.format(self.of(item))

    def plain(self, item: T) -> str:
        return format_plain(self.of(item))


def choose_columns(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return the indices of the columns with values that fit the room; None when even those of rank 0 don't fit."""
    least: dict[int, int] = {}
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        if index == 0 or any(cells):
            wanted = max(map(cell_len, [column.heading, *cells]))
            least[index] = min(wanted, _NARROWEST) if column.is_flexible else wanted
    while sum(least.values()) + GAP * (len(least) - 1) > room:
        last = max(least, key=lambda index: columns[index].rank)
        if columns[last].rank == 0:
            return None
        del least[last]
    return list(least)
