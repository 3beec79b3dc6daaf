"""How much of this machine a server can take."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import nullcontext
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from support.clients import KEY, client_of
from support.raw_server import RawRequest, RawServer, http_response, json_response

ONCE = RetryPolicy(max_attempts=1)


async def test_a_compressed_event_stream_is_refused() -> None:
    """A small one could take all memory, and the client asks for none."""

    async def handler(request: RawRequest) -> Any:
        assert request.headers["accept-encoding"] == "identity"
        return http_response(200, gzip.compress(b": x\n\n"), Content_Type="text/event-stream", Content_Encoding="gzip")

    async with RawServer(handler) as server, client_of(server.url, retry=ONCE) as client:
        with pytest.raises(errors.TransportError) as caught:
            await client.tasks.events("t1").until_done()
    assert "compressed" in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("method", ["get", "create"])
async def test_a_response_has_a_longest_length(method: str, *, packed: bool) -> None:
    """It is checked while the body is unpacked, and the request isn't repeated."""
    document = json.dumps({"id": "t1", "status": "running", "title": "x" * 20_000_000}).encode()
    coding = {"Content_Encoding": "gzip"} if packed else {}

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, gzip.compress(document) if packed else document, **coding)

    async with (
        RawServer(handler) as server,
        AsyncRebyte(KEY, base_url=server.url, max_response_bytes=1_000_000) as client,
    ):
        with pytest.raises(errors.DecodeError, match="max_response_bytes, 1,000,000"):
            await (client.tasks.get("t1") if method == "get" else client.tasks.create("Do it"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("method", ["get", "events", "read"])
async def test_the_reason_in_a_compressed_error_is_read(method: str, coding: str) -> None:
    """Gateways compress errors though nothing asked for it."""
    document = json.dumps({"error": {"code": "not_found", "message": "no such thing"}}).encode()

    async def handler(_: RawRequest) -> bytes:
        body = gzip.compress(document) if coding == "gzip" else zlib.compress(document)
        return http_response(404, body, Content_Encoding=coding)

    async with RawServer(handler) as server, client_of(server.url, retry=ONCE) as client:
        with pytest.raises(errors.NotFoundError, match="no such thing"):
            if method == "get":
                await client.tasks.get("t1")
            elif method == "read":
                await client.artifacts.read("w1", "a")
            else:
                await client.tasks.events("t1").until_done()


async def test_an_error_that_is_too_long_keeps_its_status() -> None:
    """Its reason is lost."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(404, b"x" * 100_000)

    async with RawServer(handler) as server, AsyncRebyte(KEY, base_url=server.url, max_response_bytes=1000) as client:
        with pytest.raises(errors.NotFoundError):
            await client.tasks.get("t1")
        with pytest.raises(errors.NotFoundError):
            await client.artifacts.read("w1", "a")


@pytest.mark.parametrize("total", [10**9, None])
async def test_a_listing_that_brings_nothing_new_ends(total: int | None) -> None:
    """A server that ignores `offset` is asked a few times at most."""

    async def handler(_: RawRequest) -> bytes:
        page = {"data": [{"id": f"t{number}", "status": "running"} for number in range(50)]}
        return json_response(page if total is None else page | {"total": total})

    async with RawServer(handler) as server, client_of(server.url) as client:
        found: list[str] = []
        with nullcontext() if total is None else pytest.raises(errors.DecodeError, match="nothing new"):
            async for task in client.tasks.list():
                found.append(task.id)  # noqa: PERF401 - an error must leave what came before it
    assert len(found) == 50
    assert len(server.requests) <= 6


@pytest.mark.parametrize(("length", "is_read"), [(60_000, True), (70_000, False)])
async def test_a_long_line_of_the_head_is_read_or_named(length: int, *, is_read: bool) -> None:
    """Cookies and signed URLs are longer than aiohttp's own limit."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({"id": "t1", "status": "running"}, X_Long="x" * length)

    async with RawServer(handler) as server, client_of(server.url, retry=ONCE) as client:
        if is_read:
            assert (await client.tasks.get("t1")).id == "t1"
        else:
            with pytest.raises(errors.TransportError, match="longer than 65,536 bytes"):
                await client.tasks.get("t1")
