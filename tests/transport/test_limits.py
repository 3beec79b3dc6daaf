"""How much of this machine a server can take."""

from __future__ import annotations

import gzip
import json
import os
import socket
import sys
import zlib
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from support.clients import KEY, client_of
from support.raw_server import RawRequest, RawServer, http_response, json_response, stream_head

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
        error = errors.DecodeError if method == "get" else errors.AmbiguousRequestError
        with pytest.raises(error, match="max_response_bytes, 1,000,000"):
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


@pytest.mark.parametrize(("length", "is_read"), [(65_500, True), (65_550, False)])
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


def keepalive_of(port: int) -> Iterator[tuple[int, ...]]:
    """Yield what the system does for each connection of this process to a port."""
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(path.name))) as found:
            peer = found.getpeername()
            if peer and peer[1] == port:
                names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
                options = [found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
                yield (found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *options)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
async def test_a_peer_that_is_gone_is_found_within_90_seconds() -> None:
    """On a connection that is kept for later calls, and on that of a stream."""

    async def handler(request: RawRequest) -> Any:
        async def events() -> Any:
            yield stream_head(chunked=False)
            yield b'event: event\ndata: {"seq": 0, "promptId": "p", "eventType": "text", "payload": {}}\n\n'
            await anyio.sleep_forever()

        return events() if request.path.endswith("events") else json_response({"id": "t1", "status": "running"})

    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
        async with client.tasks.events("t1") as stream:
            await anext(stream)
            found = list(keepalive_of(server.port))
    assert len(found) == 2
    for is_on, idle, interval, count, user_timeout in found:
        assert is_on
        assert idle + interval * count <= 90
        assert user_timeout <= 90_000
