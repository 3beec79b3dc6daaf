"""One page of a listing."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

__all__ = ["Page"]

T = TypeVar("T")


@frozen
class Page(Generic[T]):
    """One page of a listing, newest first.

    *Source*: contract §1, documented for tasks, guessed for agent computers.
    """

    data: tuple[T, ...]
    """The items."""
    total: int | None
    """How many there are in all; None where the server doesn't say."""
    limit: int
    """How many items a page holds at most."""
    offset: int
    """How many items stand before this page."""
