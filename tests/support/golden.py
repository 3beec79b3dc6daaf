"""Endpoints against their golden answers in tests/wire."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rebyte_async import AsyncRebyte
from support.clients import client_of
from support.raw import RawServer, answer

__all__ = ["WIRE", "Call", "assert_golden"]

WIRE = Path(__file__).parent.parent / "wire"
Call = Callable[[AsyncRebyte], Awaitable[Any]]


async def assert_golden(name: str, call: Call, expected: Any) -> None:
    """Assert that a call sends the golden request, and reads the golden answer as expected."""
    golden = json.loads((WIRE / f"{name}.json").read_text())
    body = b"" if golden["answer"] is None else json.dumps(golden["answer"]).encode()

    async def handler(_: Any) -> bytes:
        return answer(golden["status"], body, Content_Type="application/json")

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert await call(client) == expected
    (request,) = server.requests
    keyless = name == "health"
    assert (request.method, request.path) == (golden["method"], ("" if keyless else "/v1") + golden["path"])
    assert dict(parse_qsl(urlsplit(request.target).query)) == golden.get("query", {})
    assert (request.json if request.body else None) == golden.get("request")
    assert ("api_key" in request.headers) is not keyless
