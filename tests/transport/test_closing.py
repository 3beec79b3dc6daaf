"""Closing the client ends every wait for something of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, http_response, stream_head
from support.task_server import TASK_ID


def server_that_never_ends(rng: Random) -> RawServer:
    """Return a server whose responses begin after a moment, and never end."""

    async def handler(request: RawRequest) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            await asyncio.sleep(rng.random() * 0.01)
            is_stream = request.path.endswith("/events")
            yield stream_head() if is_stream else b"HTTP/1.1 201 X\r\nContent-Length: 100\r\n\r\n{"
            await asyncio.sleep(60)

        return pieces()

    return RawServer(handler)


CALLS: dict[str, tuple[Callable[[AsyncRebyte], Awaitable[object]], type[errors.RebyteError]]] = {
    "get": (lambda client: client.tasks.get(TASK_ID), errors.ClientClosedError),
    "create": (lambda client: client.tasks.create("Do it"), errors.AmbiguousRequestError),
    "events": (lambda client: client.tasks.events(TASK_ID).until_done(), errors.ClientClosedError),
    "read": (lambda client: client.artifacts.read("w", "a"), errors.ClientClosedError),
}


@pytest.mark.parametrize("name", CALLS)
async def test_closing_ends_calls_at_any_moment(name: str) -> None:
    """A call fails at once, whether its request is on its way, its response has begun, or its body is being read.

    A create that the server may have read is ambiguous.
    """
    call, expected = CALLS[name]
    rng = Random(name)
    async with server_that_never_ends(rng) as server:
        for _ in range(25):
            client = client_of(server.url)
            calls = [asyncio.ensure_future(call(client)) for _ in range(4)]
            while len(server.requests) < 4:
                await asyncio.sleep(0.001)
            await asyncio.sleep(rng.random() * 0.015)
            await client.aclose()
            async with asyncio.timeout(5):
                found = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(error) for error in found} == {expected}
            server.requests.clear()


async def test_the_failure_of_the_last_attempt_is_the_cause() -> None:
    """A call that is closed while it waits for its next attempt may have been carried out: the cause says so."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(503, b"busy")

    async with RawServer(handler) as server:
        client = client_of(server.url, retry=RetryPolicy(base_delay=60, max_delay=60))
        canceling = asyncio.ensure_future(client.tasks.cancel(TASK_ID))
        async with asyncio.timeout(5):
            while not client.stats().retries:
                await asyncio.sleep(0.005)
        await client.aclose()
        with pytest.raises(errors.ClientClosedError, match="closed") as caught:
            await canceling
        assert isinstance(caught.value.__cause__, errors.ServerError)
