"""Listings: await one for a page, iterate over it for every item."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from operator import attrgetter
from typing import Generic, TypeVar

from attrs import evolve, frozen

from rebyte_async._transport import Transport
from rebyte_async._validate import count
from rebyte_async._wire import models
from rebyte_async._wire.endpoints import Endpoint
from rebyte_async.errors import DecodeError, InvalidRequestError
from rebyte_async.types.pages import Page

T = TypeVar("T")
_MAX_LIMIT = 100
_MOST_IN_VAIN = 5
"""How many pages in a row may bring nothing new, as while many items are deleted."""


@frozen(eq=False, repr=False)
class Listing(Generic[T]):
    """A listing that has not been requested yet.

    `await` it for the page that its `limit` and `offset` select. `async for` gives every item from `offset` on, page
    by page, each once: items that new ones push to the next page are not repeated, and items that move up because
    others were deleted are not missed.

    Raises:
        InvalidRequestError: `limit` is not 1 to 100, or `offset` is below 0.
    """

    _fetch: Callable[[int, int], Awaitable[Page[T]]]  # requests a page by its limit and offset
    _identity: Callable[[T], str] = str  # returns what distinguishes an item, so that none is given twice
    _limit: int | None = None  # None for a listing that the server doesn't page
    _offset: int = 0

    def __attrs_post_init__(self) -> None:
        if self._limit is None:
            return
        if type(self._limit) is not int or not 1 <= self._limit <= _MAX_LIMIT:
            raise InvalidRequestError(f"limit must be a whole number from 1 to {_MAX_LIMIT}, not {self._limit!r:.40}")
        count("offset", self._offset, minimum=0)

    def __await__(self) -> Generator[object, None, Page[T]]:
        return self._fetch(self._limit or 0, self._offset).__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for item in page.data:
                    yield item

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Read page after page from `offset` on, to the last one.

        Yields:
            Each page, without the items that an earlier one had: those that new ones have pushed there. The first page
            comes also where it is empty.

        Raises:
            DecodeError: Pages in a row bring nothing new, so that the listing would never end.
        """
        if self._limit is None:
            yield await self._fetch(0, 0)
            return
        seen: set[str] = set()
        offset = self._offset
        total = None
        in_vain = 0  # how many pages have come since the last new item
        while in_vain < _MOST_IN_VAIN:
            page = await self._fetch(self._limit, offset)
            in_vain += 1
            if total is not None and page.total is not None and page.total < total and offset > self._offset:
                # Items were deleted meanwhile, so unread items have moved up into pages that were read already.
                offset = max(self._offset, offset - (total - page.total))
                total = page.total
                continue
            new = {key: item for item in page.data if (key := self._identity(item)) not in seen}
            seen.update(new)
            if new:
                in_vain = 0
            if new or offset == self._offset:
                yield evolve(page, data=tuple(new.values()))
            offset += len(page.data)
            total = page.total
            # Where the server says no total, a page without anything new comes from a server that doesn't page.
            is_last = len(page.data) < self._limit or in_vain > 0 if total is None else offset >= total
            if is_last or not page.data:
                return
        raise DecodeError(f"{in_vain} pages of the listing in a row brought nothing new", path="$.data")

    def __repr__(self) -> str:
        part = "everything" if self._limit is None else f"pages of {self._limit} from {self._offset} on"
        return f"<Listing of {part}: await it for one page, or iterate over it with `async for`>"


def list_by_pages(transport: Transport, endpoint: Endpoint, cls: type[T], limit: int, offset: int) -> Listing[T]:
    async def fetch(limit: int, offset: int) -> Page[T]:
        response = await transport.call(endpoint, query={"limit": limit, "offset": offset})
        return models.decode_page(cls, response.json(), limit=limit, offset=offset)

    return Listing(fetch, attrgetter("id"), limit, offset)


def list_at_once(
    transport: Transport,
    endpoint: Endpoint,
    cls: type[T],
    keys: Sequence[str],
    *,
    ids: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Listing[T]:
    """List what the server doesn't page. The items are under one of the keys, or bare."""

    async def fetch(_limit: int, _offset: int) -> Page[T]:
        response = await transport.call(endpoint, ids=ids)
        items = models.decode_items(cls, response.json(), keys, aliases=aliases)
        return Page(items, len(items), len(items), 0)

    return Listing(fetch)
