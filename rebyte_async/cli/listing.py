"""Lists of the API: as many items as the user asked for, and a note where there are more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import click

from rebyte_async import AsyncRebyte
from rebyte_async.cli.runtime import run_once
from rebyte_async.cli.view.output import show_list
from rebyte_async.cli.view.table import Column
from rebyte_async.resources import Listing

T = TypeVar("T")
_LARGEST_PAGE = 100  # items that a page of the API holds at most


def list_once(
    listing: Callable[[AsyncRebyte, int], Listing[T]],
    columns: Sequence[Column[T]],
    *,
    limit: int | None,
    as_json: bool,
    empty: str,
) -> int:
    """List at most `limit` items on stdout, say on stderr when there are more, and return the exit code.

    `listing` is given the size of its pages; `empty` is said on a terminal where there is no item.
    """

    async def call(client: AsyncRebyte) -> None:
        rest: list[str] = []
        pages = listing(client, min(limit or _LARGEST_PAGE, _LARGEST_PAGE))
        async with aclosing(_take(pages, limit, rest)) as items:
            count = await show_list(items, columns, as_json=as_json, empty=empty)
        for words in rest:
            click.echo(f"{count} of {words}; --all lists them all", err=True)

    return run_once(call)


async def _take(listing: Listing[T], limit: int | None, rest: list[str]) -> AsyncGenerator[T]:
    """Yield the first items; then append to `rest` how many there are in all, where that is more."""
    if limit is not None and limit <= _LARGEST_PAGE:
        page = await listing
        for item in page.data[:limit]:
            yield item
        if page.total is None and page.limit == len(page.data) == limit:
            rest.append("perhaps more")
        elif (page.total or 0) > page.offset + min(len(page.data), limit):
            rest.append(f"{page.total}")
        return
    given = 0
    async for item in listing:
        if given == limit:
            rest.append("more")
            return
        given += 1
        yield item
