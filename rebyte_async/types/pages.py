"""One page of a listing."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from rebyte_async.types.values import Value, to_html_table

T = TypeVar("T")


@frozen(repr=False)
class Page(Value, Generic[T]):
    """One page of a listing, newest first.

    *Source*: contract §1, documented for tasks, guess for agent computers.
    """

    data: tuple[T, ...]
    """The items of this page."""
    total: int | None
    """How many items there are on all pages; None where the server doesn't say."""
    limit: int
    """The largest number of items on a page."""
    offset: int
    """The number of items before this page."""

    @property
    def has_more(self) -> bool:
        """Whether there are items after this page; where the server doesn't say how many there are, there may be."""
        return self.next_offset is not None

    @property
    def next_offset(self) -> int | None:
        """The offset of the next page; None where this is the last one."""
        end = self.offset + len(self.data)
        has_more = len(self.data) >= self.limit if self.total is None else end < self.total
        return end if self.data and has_more else None

    def _repr_html_(self) -> str:
        """Show the items in a notebook, a row for each."""
        total = "" if self.total is None else f" of {self.total:,}"
        caption = f"{len(self.data):,}{total}, from {self.offset:,} on"
        return to_html_table([item for item in self.data if isinstance(item, Value)], caption)
