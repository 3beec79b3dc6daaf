"""Responses that begin as HTTP and go on as something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from support.clients import client_of
from support.raw_server import Handler, RawRequest, RawServer, chunk

ONCE = RetryPolicy(max_attempts=1)
PATIENT = Timeouts(connect=3600, read=3600, create=3600, stream_idle=3600)
CALLS: dict[str, tuple[Callable[[AsyncRebyte], Awaitable[Any]], type[errors.TransportError]]] = {
    "get": (lambda client: client.tasks.get("t1"), errors.TransportError),
    "create": (lambda client: client.tasks.create("Do it"), errors.AmbiguousRequestError),
    "events": (lambda client: client.tasks.events("t1").until_done(), errors.StreamInterruptedError),
    "download": (lambda client: client.artifacts.read("w1", "a"), errors.TransportError),
    "upload": (lambda client: client.files.upload(b"x", filename="a"), errors.TransportError),
}
GARBAGE = [
    b"zz\r\nno size\r\n",
    b"-1\r\nx\r\n",
    chunk(b"whole")[:-2] + b"no line end",
    chunk(b"whole") + b"5x\r\nwhole\r\n",
]


def garble(garbage: bytes, has_head: anyio.Event, status: int = 200) -> Handler:
    """Return a handler whose response has a correct head, then garbage once the client has the head, and no end."""

    async def handler(request: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            kind = "text/event-stream" if request.path.endswith("/events") else "application/json"
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            yield head.encode() + chunk(b" ")
            await has_head.wait()
            yield garbage
            await anyio.sleep_forever()

        return pieces()

    return handler


@asynccontextmanager
async def garbled_client(
    garbage: bytes, has_head: anyio.Event, *, status: int = 200, tls: Any = None, **options: Any
) -> AsyncGenerator[AsyncRebyte]:
    """Open a client of a server whose responses are garbled."""
    async with RawServer(garble(garbage, has_head, status), tls) as server:
        async with client_of(server.url, timeouts=PATIENT, retry=ONCE, **options) as client:
            with anyio.fail_after(20):
                yield client


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("call", CALLS)
async def test_a_garbled_body_fails_at_once(call: str, garbage: bytes) -> None:
    """However long the timeouts are, and though the server leaves the connection open."""
    send, kind = CALLS[call]
    has_head = anyio.Event()
    async with garbled_client(garbage, has_head, on_response=lambda _: has_head.set()) as client:
        with pytest.raises(kind, match="what came amid the response wasn't HTTP"):
            await send(client)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_so_it_does_in_a_session_of_the_application(call: str, tls: Any, *, secure: bool) -> None:
    """With TLS too, where closing a connection takes its time, and with middlewares that take theirs."""
    has_head = anyio.Event()

    async def linger(request: Any, handler: Any) -> Any:
        response = await handler(request)
        has_head.set()
        while response.connection and response.connection.protocol.exception() is None:
            await asyncio.sleep(0.001)
        return response

    send, kind = CALLS[call]
    connector = aiohttp.TCPConnector(ssl=tls.client)
    async with aiohttp.ClientSession(connector=connector, middlewares=[linger]) as session:
        async with garbled_client(GARBAGE[0], has_head, tls=tls.server if secure else None, session=session) as client:
            with pytest.raises(kind):
                await send(client)


@pytest.mark.parametrize("call", CALLS)
async def test_a_garbled_error_ends_the_call_at_once(call: str) -> None:
    """The body of an error is no reason to wait either."""
    has_head = anyio.Event()
    async with garbled_client(GARBAGE[0], has_head, status=403, on_response=lambda _: has_head.set()) as client:
        with pytest.raises((errors.TransportError, errors.PermissionDeniedError)):
            await CALLS[call][0](client)
