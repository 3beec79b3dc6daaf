"""One page of a listing."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class Page(Generic[T]):
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
