"""What keeps thousands of open streams cheap: small reads, and one timer for a stream's silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler

from rebyte_async._transport.pieces import read_in_small_pieces
from rebyte_async._transport.silence import Silence
from support.clients import client_of
from support.raw import RawRequest, RawServer, chunk, stream_head
from support.turns import TASK_ID, done, text

LARGE = "a long answer " * 100_000


async def test_other_loops_are_left_alone() -> None:
    """A transport that doesn't have asyncio's attributes stays as it is."""
    read_in_small_pieces(object())
    read_in_small_pieces(None)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_large_event_passes_in_small_pieces(tls: Any, secure: bool) -> None:
    """An event far larger than a piece arrives whole, and over TLS the connection's own buffer is small."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            yield chunk(text(2, LARGE) + done("succeeded", 2, "all"))
            yield chunk(b"")

        return pieces()

    async with RawServer(handler, tls.server if secure else None) as server, tls.session() as session:
        client = client_of(server.url, session=session)
        async with client.tasks.events(TASK_ID) as stream:
            await anext(stream)
            (body,) = client._transport.connections.streams
            connection: Any = body._response.connection
            transport = connection.transport
            room = len(transport._ssl_protocol._ssl_buffer) if secure else transport.max_size
            assert room == 32 * 1024
            assert [event.payload["content"] async for event in stream] == [LARGE]
        await client.aclose()


@pytest.mark.parametrize("count", [1023, 1024, 1025, 3000])
async def test_many_unread_chunks_lose_nothing(count: int) -> None:
    """However many small chunks come while nobody reads, what follows them is whole, though the server closes."""
    is_read = asyncio.Event()

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            await asyncio.sleep(0.05)
            second = text(2, "second")
            yield b"".join(chunk(b"%c" % byte) for byte in second.rjust(count, b"\n"))
            await is_read.wait()
            yield chunk(b":") + chunk(b"\n" + text(3, "third") + done("succeeded", 3, "all")) + chunk(b"")

        return pieces()

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            await anext(stream)
            await asyncio.sleep(0.1)
            assert (await anext(stream)).seq == 2
            is_read.set()
            await asyncio.sleep(0.1)
            assert [event.seq async for event in stream] == [3]
        assert stream.reconnects == 0


async def test_what_is_unread_is_no_silence() -> None:
    """A consumer that is slow to read what has come isn't told that the server is silent."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            await anyio.sleep(0.05)
            yield chunk(text(2, "second"))
            await anyio.sleep(0.5)
            yield chunk(text(3, "third") + done("succeeded", 3, "all"))
            yield chunk(b"")

        return pieces()

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID, idle_timeout=0.2) as stream:
            await anext(stream)
            await anyio.sleep(0.6)
            assert [event.seq async for event in stream] == [2, 3]
        assert stream.reconnects == 0


async def test_silence_ends_a_body_neither_early_nor_much_too_late() -> None:
    """It is the given time without a byte, and an eighth more at most."""
    content = _reader()
    silence = Silence(content, 0.4)
    await asyncio.sleep(0.3)
    content.feed_data(b": beat\n")
    came = time.monotonic()
    silence.taken += len(await content.readany())
    while content.exception() is None:
        await asyncio.sleep(0.01)
    assert isinstance(content.exception(), TimeoutError)
    assert 0.39 <= time.monotonic() - came <= 0.8


def _reader() -> StreamReader:
    loop = asyncio.get_running_loop()
    return StreamReader(ResponseHandler(loop), 2**16, loop=loop)


async def test_the_end_of_a_body_is_no_silence() -> None:
    """What was stopped, and what has ended, isn't ended again."""
    for stop in (True, False):
        content = _reader()
        silence = Silence(content, 0.05)
        if stop:
            silence.stop()
        else:
            content.feed_eof()
        await asyncio.sleep(0.15)
        assert content.exception() is None
