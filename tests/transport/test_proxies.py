"""Proxies of an application's own session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import anyio
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from support.clients import KEY
from support.raw_server import RawRequest, RawServer, http_response

CALLS: dict[str, Callable[[AsyncRebyte], Awaitable[Any]]] = {
    "get": lambda client: client.tasks.get("t1"),
    "create": lambda client: client.tasks.create("Do it"),
    "events": lambda client: client.tasks.events("t1").until_done(),
    "read": lambda client: client.artifacts.read("w1", "a"),
}


@pytest.mark.parametrize("way", ["hangs", "refuses"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_proxy_that_does_not_connect_leaves_no_doubt(call: str, way: str) -> None:
    """Nothing was sent through it, so that it is an error of connecting, also for a create."""

    async def handler(request: RawRequest) -> bytes:
        assert request.method == "CONNECT"
        if way == "hangs":
            await anyio.sleep_forever()
        return http_response(407)

    async with (
        RawServer(handler) as proxy,
        aiohttp.ClientSession(proxy=proxy.origin) as session,
        AsyncRebyte(
            KEY,
            base_url="https://api.example.invalid/v1",
            session=session,
            timeouts=Timeouts(connect=0.3),
            retry=RetryPolicy(max_attempts=1),
        ) as client,
    ):
        with anyio.fail_after(20), pytest.raises((errors.ConnectError, errors.StreamInterruptedError)) as caught:
            await CALLS[call](client)
    assert isinstance(caught.value, errors.ConnectError) or isinstance(caught.value.__cause__, errors.ConnectError)
