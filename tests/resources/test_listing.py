"""Listings whose items move while they are read."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from support.clients import client_of
from support.raw_server import RawRequest, RawServer, json_response


class ScriptedListing:
    """A listing, newest first, that can change between two pages."""

    def __init__(self, count: int) -> None:
        self.items = [f"t{number}" for number in range(count, 0, -1)]
        self.total = True
        self.pages: list[tuple[int, int]] = []

    async def __call__(self, request: RawRequest) -> bytes:
        """Respond with a page."""
        query = parse_qs(urlsplit(request.target).query)
        limit, offset = int(query["limit"][0]), int(query["offset"][0])
        self.pages.append((limit, offset))
        document: dict[str, Any] = {"data": [{"id": item} for item in self.items[offset : offset + limit]]}
        if self.total:
            document |= {"total": len(self.items), "limit": limit, "offset": offset}
        return json_response(document)


async def test_awaiting_gives_one_page() -> None:
    """Awaiting a listing sends one request, for the given page."""
    listing = ScriptedListing(7)
    async with RawServer(listing) as server, client_of(server.url) as client:
        page = await client.tasks.list(limit=3, offset=2)
    assert [task.id for task in page.data] == ["t5", "t4", "t3"]
    assert (page.total, page.limit, page.offset) == (7, 3, 2)
    assert listing.pages == [(3, 2)]


async def test_iterating_reads_each_page_when_it_is_needed() -> None:
    """Pages are requested when their items are needed, and the last page ends the iteration."""
    listing = ScriptedListing(6)
    async with RawServer(listing) as server, client_of(server.url) as client:
        got = []
        async for task in client.tasks.list(limit=2, offset=1):
            got.append(task.id)
            assert len(listing.pages) == (len(got) + 1) // 2
    assert got == ["t5", "t4", "t3", "t2", "t1"]


async def test_new_items_cause_no_repetition() -> None:
    """Items that newer ones push to the next page come once."""
    listing = ScriptedListing(6)
    async with RawServer(listing) as server, client_of(server.url) as client:
        got = []
        async for task in client.tasks.list(limit=2):
            got.append(task.id)
            if len(got) == 2:
                listing.items[:0] = ["new2", "new1"]
    assert got == ["t6", "t5", "t4", "t3", "t2", "t1"]


async def test_deleted_items_cause_no_gap() -> None:
    """Items that move up into a page that was read already are not missed."""
    listing = ScriptedListing(8)
    async with RawServer(listing) as server, client_of(server.url) as client:
        got = []
        async for task in client.tasks.list(limit=2):
            got.append(task.id)
            if len(got) == 4:
                del listing.items[:3]
    assert got == ["t8", "t7", "t6", "t5", "t4", "t3", "t2", "t1"]


async def test_without_a_total_a_short_page_is_the_last() -> None:
    """A listing without a total ends with a page that isn't full."""
    listing = ScriptedListing(5)
    listing.total = False
    async with RawServer(listing) as server, client_of(server.url) as client:
        assert len([task async for task in client.tasks.list(limit=2)]) == 5
        assert (await client.tasks.list(limit=2)).total is None


async def test_an_empty_listing_is_empty() -> None:
    """An empty listing takes one request."""
    listing = ScriptedListing(0)
    async with RawServer(listing) as server, client_of(server.url) as client:
        assert [task async for task in client.tasks.list()] == []
    assert listing.pages == [(50, 0)]


@pytest.mark.parametrize("bare", [True, False])
async def test_a_server_without_paging_is_read_twice_at_most(*, bare: bool) -> None:
    """A listing that ignores limit and offset yields every item once, and ends."""
    items = [{"id": f"c{number}"} for number in range(60)]
    requests = 0

    async def handler(_: RawRequest) -> bytes:
        nonlocal requests
        requests += 1
        return json_response(items if bare else {"data": items})

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert len([computer async for computer in client.agent_computers.list()]) == 60
    assert requests == 2


async def test_a_server_that_limits_the_page_causes_no_gap() -> None:
    """With a total, a page that isn't full is not taken for the last."""
    listing = ScriptedListing(25)

    async def handler(request: RawRequest) -> bytes:
        capped = request.target.replace("limit=20", "limit=10")
        return await listing(evolve(request, target=capped))

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert len([task async for task in client.tasks.list(limit=20)]) == 25


async def test_pages_come_one_by_one() -> None:
    """`pages` reads page after page, each without what an earlier one had, and the first also where it is empty."""
    listing = ScriptedListing(5)
    async with RawServer(listing) as server, client_of(server.url) as client:
        pages = []
        async for page in client.tasks.list(limit=2).pages():
            pages.append(page)
            if len(pages) == 1:
                listing.items.insert(0, "new")
        assert [[task.id for task in page.data] for page in pages] == [["t5", "t4"], ["t3"], ["t2", "t1"]]
        assert (pages[0].has_more, pages[0].next_offset, pages[-1].has_more) == (True, 2, False)
        listing.items.clear()
        assert [page.data async for page in client.tasks.list().pages()] == [()]
