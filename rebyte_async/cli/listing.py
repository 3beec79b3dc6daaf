"""Lists of the API: as many items as were asked for, and a word where there are more."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import click
from attrs import define

from rebyte_async.cli.exits import Exit
from rebyte_async.cli.once import run_once
from rebyte_async.cli.view.table import show_list

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from rebyte_async import AsyncRebyte
    from rebyte_async.cli.view.table import Column
    from rebyte_async.resources import Listing

__all__ = ["LARGEST_PAGE", "list_once"]

T = TypeVar("T")

LARGEST_PAGE = 100
"""Items that a page of the API holds at most."""


@define
class _Counted:
    """What the items that were listed leave out."""

    more: str = ""


def list_once(
    listing: Callable[[AsyncRebyte, int], Listing[T]],
    columns: Sequence[Column[T]],
    *,
    limit: int | None,
    as_json: bool,
    empty: str,
) -> int:
    """List on stdout, and say on stderr when there is more.

    Args:
        listing: Makes the listing, with pages of a size.
        columns: How an item is shown.
        limit: How many to list; None for all.
        as_json: Whether to print JSON.
        empty: What to say on a terminal where there is none.

    Returns:
        The exit code.
    """

    async def call(client: AsyncRebyte) -> int:
        counted = _Counted()
        pages = listing(client, min(limit or LARGEST_PAGE, LARGEST_PAGE))
        items = _everything(pages) if limit is None else _first(pages, limit, counted)
        async with aclosing(items):
            count = await show_list(items, columns, as_json=as_json, empty=empty)
        if counted.more:
            click.echo(f"{count} of {counted.more}; --all lists them all", err=True)
        return Exit.OK

    return run_once(call)


async def _everything(listing: Listing[T]) -> AsyncGenerator[T]:
    async for item in listing:
        yield item


async def _first(listing: Listing[T], limit: int, counted: _Counted) -> AsyncGenerator[T]:
    if limit <= LARGEST_PAGE:
        page = await listing
        for item in page.data[:limit]:
            yield item
        if page.total is None and page.limit == len(page.data) == limit:
            counted.more = "perhaps more"
        elif (page.total or 0) > page.offset + min(len(page.data), limit):
            counted.more = f"{page.total}"
        return
    given = 0
    async with aclosing(_everything(listing)) as items:
        async for item in items:
            if given == limit:
                counted.more = "more"
                return
            given += 1
            yield item
