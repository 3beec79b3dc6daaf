"""Thousands of open streams stay cheap: with small reads, and one idle timer for all."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from rebyte_async._transport import BodyStream, SessionPool, Transport
from rebyte_async._wire.endpoints import STREAM_EVENTS
from rebyte_async.errors import RequestTimeoutError
from support.clients import client_of, transport_of
from support.raw_server import RawRequest, RawServer, chunk, stream_head
from support.task_server import TASK_ID, done, text


async def open_stream(transport: Transport, idle_timeout: float = 30) -> BodyStream:
    """Open the body of an event stream."""
    return await transport.stream(STREAM_EVENTS, ids={"task_id": TASK_ID}, idle_timeout=idle_timeout, headers={})


LARGE = "a long answer " * 100_000


@pytest.mark.usefixtures("asyncio_transports")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_large_event_passes_in_small_pieces(tls: Any, secure: bool) -> None:
    """An event far larger than a piece arrives whole, and over TLS the connection's own buffer is small."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            yield chunk(text(2, LARGE) + done("succeeded", 2, LARGE))
            yield chunk(b"")

        return pieces()

    async with RawServer(handler, tls.server if secure else None) as server, tls.session() as session:
        client = client_of(server.url, session=session)
        async with client.tasks.events(TASK_ID) as stream:
            await anext(stream)
            assert [event.payload["content"] async for event in stream] == [LARGE]
        await client.aclose()
        async with transport_of(server.url, sessions=SessionPool(session)) as transport:
            body: Any = await open_stream(transport)
            connection = body._response.connection.transport
            room = len(connection._ssl_protocol._ssl_buffer) if secure else connection.max_size
            assert room == 32 * 1024


async def test_a_stream_that_is_not_read_holds_little() -> None:
    """The connection is paused when 32 KiB of it aren't read."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            await anyio.sleep_forever()

        return pieces()

    async with RawServer(handler) as server, transport_of(server.url) as transport:
        body: Any = await open_stream(transport)
        assert body._response.content.get_read_buffer_limits() == (16 * 1024, 32 * 1024)
        body.close()


@pytest.mark.usefixtures("asyncio_transports")
async def test_connections_that_share_the_room_for_reads_keep_their_bytes_apart(tls: Any) -> None:
    """Many TLS streams at once, in a thread and in another one: each brings its own large events."""

    async def handler(request: RawRequest) -> AsyncIterator[bytes]:
        name = request.target.split("/")[-2]

        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            for seq in range(1, 5):
                yield chunk(text(seq, f"{name} " * 20_000))
                await asyncio.sleep(0)
            yield chunk(done("succeeded", 4, f"{name} " * 20_000)) + chunk(b"")

        return pieces()

    async def follow_all(url: str, names: list[str]) -> list[Any]:
        async def follow(name: str) -> None:
            async with client.tasks.events(name) as stream:
                assert {event.payload["content"] async for event in stream} == {f"{name} " * 20_000}

        async with tls.session() as session:
            client = client_of(url, session=session)
            async with transport_of(url, sessions=SessionPool(session)) as transport:
                bodies: list[Any] = [await open_stream(transport) for _ in range(2)]
                rooms = [body._response.connection.transport._ssl_protocol._ssl_buffer for body in bodies]
                await asyncio.gather(*(follow(name) for name in names))
            await client.aclose()
            return rooms

    async with RawServer(handler, tls.server) as server:
        of_this_thread = await follow_all(server.url, [f"t{number}" for number in range(8)])
        of_another = await asyncio.to_thread(lambda: asyncio.run(follow_all(server.url, ["a", "b"])))
    assert of_this_thread[0] is of_this_thread[1]
    assert of_another[0] is of_another[1]
    assert of_another[0] is not of_this_thread[0]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_reader_that_falls_behind_gets_what_came_before_the_close(tls: Any, secure: bool) -> None:
    """A connection that is paused for its unread bytes may have been closed at the other end: nothing of it is lost."""
    is_sent = asyncio.Event()

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head() + chunk(text(0, "first"))
            for seq in range(1, 101):
                yield chunk(text(seq, "x" * 2000))
            yield chunk(done("succeeded", 100, "x")) + chunk(b"")
            is_sent.set()

        return pieces()

    async with RawServer(handler, tls.server if secure else None) as server, tls.session() as session:
        client = client_of(server.url, session=session)
        async with client.tasks.events(TASK_ID) as stream:
            await anext(stream)
            await is_sent.wait()
            for seq in range(1, 101):
                await asyncio.sleep(0.001)
                assert (await anext(stream)).seq == seq
            assert await anext(stream, None) is None
            assert stream.reconnects == 0
        await client.aclose()


@pytest.mark.parametrize("count", [1023, 1024, 1025, 3000])
async def test_many_unread_chunks_lose_nothing(count: int) -> None:
    """However many small chunks come unread, what follows them is whole, though the server closes."""
    is_read = asyncio.Event()

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            await asyncio.sleep(0.05)
            second = text(2, "second")
            yield b"".join(chunk(b"%c" % byte) for byte in second.rjust(count, b"\n"))
            await is_read.wait()
            yield chunk(b":") + chunk(b"\n" + text(3, "third") + done("succeeded", 3, "third")) + chunk(b"")

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


async def test_unread_bytes_are_not_idleness() -> None:
    """A consumer that is slow to read gets no idle timeout for bytes that have come."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head()
            yield chunk(text(1, "first"))
            await anyio.sleep(0.05)
            yield chunk(text(2, "second"))
            await anyio.sleep(0.5)
            yield chunk(text(3, "third") + done("succeeded", 3, "third"))
            yield chunk(b"")

        return pieces()

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID, idle_timeout=0.2) as stream:
            await anext(stream)
            await anyio.sleep(0.6)
            assert [event.seq async for event in stream] == [2, 3]
        assert stream.reconnects == 0


async def test_the_idle_timeout_is_kept() -> None:
    """A body fails after the given time without a byte, or an eighth more, whatever the timeouts of other streams."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head() + chunk(b": the first\n")
            for _ in range(3):
                await asyncio.sleep(0.3)
                yield chunk(b": beat\n")
            await asyncio.sleep(3)

        return pieces()

    async with RawServer(handler) as server, transport_of(server.url) as transport:
        other = await open_stream(transport)
        body = await open_stream(transport, idle_timeout=0.6)
        came = 0.0
        read = b""
        with pytest.raises(RequestTimeoutError):
            while True:
                read += await body.read()
                came = time.monotonic()
        assert read == b": the first\n" + b": beat\n" * 3
        assert 0.59 <= time.monotonic() - came <= 0.6 * 9 / 8 + 0.25, "with some room for a busy machine"
        assert await other.read() == read
        body.close()
        other.close()


async def test_the_end_of_a_body_is_not_idleness() -> None:
    """A body that has ended or was closed isn't failed afterwards."""

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head() + chunk(b": all\n")
            await asyncio.sleep(0.02)
            yield chunk(b"")

        return pieces()

    async with RawServer(handler) as server, transport_of(server.url) as transport:
        body, closed = await open_stream(transport, 0.1), await open_stream(transport, 0.1)
        closed.close()
        await asyncio.sleep(0.3)
        assert await body.read() == b": all\n"
        assert await body.read() == b""
        body.close()
        assert transport.counters.open_streams == 0


@pytest.mark.parametrize("garbage", [b"zz\r\nabc", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"\x00\xff\xfe"])
async def test_garbled_chunks_are_a_lost_connection(garbage: bytes) -> None:
    """Aiohttp closes the connection without failing the body; the stream notices soon, and connects again."""
    connects = 0

    async def handler(_: RawRequest) -> AsyncIterator[bytes]:
        nonlocal connects
        connects += 1
        rest = garbage if connects == 1 else chunk(done("succeeded", 1, "first")) + chunk(b"")

        async def pieces() -> AsyncIterator[bytes]:
            yield stream_head() + chunk(text(1, "first"))
            await asyncio.sleep(0.02)
            yield rest
            await asyncio.sleep(0.1)

        return pieces()

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID, idle_timeout=8) as stream, asyncio.timeout(6):
            assert [event.seq async for event in stream] == [1]
        assert (stream.reconnects, client.stats().open_streams) == (1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
async def test_a_closed_stream_does_not_wait_for_the_goodbye_of_a_quiet_peer(tls: Any) -> None:
    """With TLS, asyncio would hold the socket for 30 seconds, also after the client was closed."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    held: list[ssl.SSLSocket] = []

    def serve() -> None:
        connection = tls.server.wrap_socket(listening.accept()[0], server_side=True)
        connection.recv(65536)
        event = b'event: event\ndata: {"seq": 0, "promptId": "p", "eventType": "text", "payload": {}}\n\n'
        connection.sendall(stream_head(chunked=False) + event)
        held.append(connection)  # which never reads or writes again

    thread = threading.Thread(target=serve)
    thread.start()
    async with tls.session() as session, client_of(f"https://127.0.0.1:{port}/v1", session=session) as client:
        async with client.tasks.events("t1") as stream:
            await anext(stream)
            assert count_connections(port) == 1
        with anyio.fail_after(5):
            while count_connections(port):
                await asyncio.sleep(0.01)
    thread.join()
    for each in (*held, listening):
        each.close()


def count_connections(port: int) -> int:
    """How many sockets of this process are connected to a port."""
    number = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(path.name))) as found:
            peer = found.getpeername()
            number += bool(peer) and peer[1] == port
    return number
