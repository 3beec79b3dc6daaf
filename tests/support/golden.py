"""Check calls against the golden requests and responses in tests/wire."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rebyte_async import AsyncRebyte
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, http_response

__all__ = ["WIRE", "Call", "assert_golden", "form_of"]

WIRE = Path(__file__).parent.parent / "wire"
STORAGE = "https://s.invalid"
"""The origin of the storage in golden files."""
Call = Callable[[AsyncRebyte], Awaitable[Any]]


async def assert_golden(name: str, call: Call, expected: Any) -> None:
    """Assert that a call sends the golden requests, and reads the golden responses as expected."""
    golden = json.loads((WIRE / f"{name}.json").read_text(encoding="utf-8"))
    steps = golden.get("then", [])

    async def store(_: RawRequest) -> bytes:
        return _make_response(steps[len(storage.requests) - 1])

    async def serve(_: RawRequest) -> bytes:
        return _make_response(_move_urls(golden, storage.origin) if steps else golden)

    async with RawServer(store) as storage, RawServer(serve) as server, client_of(server.url) as client:
        assert await call(client) == expected
    (request,) = server.requests
    keyless = name == "health"
    assert (request.method, request.path) == (golden["method"], ("" if keyless else "/v1") + golden["path"])
    assert dict(parse_qsl(urlsplit(request.target).query)) == golden.get("query", {})
    assert _read_content(request) == golden.get("request")
    assert ("api_key" in request.headers) is not keyless
    for stored, step in zip(storage.requests, steps, strict=True):
        _assert_stored(stored, step)


def _move_urls(golden: Any, origin: str) -> Any:
    return json.loads(json.dumps(golden).replace(STORAGE, origin))


def _make_response(golden: Any) -> bytes:
    content, kind = golden.get("response"), golden.get("responseType")
    body = b"" if content is None else (content if kind else json.dumps(content)).encode()
    headers = {"Content-Type": kind or "application/json", **golden.get("headers", {})}
    return http_response(golden.get("status", 200), body, **headers)


def _read_content(request: RawRequest) -> Any:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return request.json if request.body else None
    fields: dict[str, list[dict[str, str]]] = {}
    for field, filename, kind, data in form_of(request):
        part = {"filename": filename, "contentType": kind, "content": data.decode()}
        fields.setdefault(field, []).append(part)
    return fields


def form_of(request: RawRequest) -> list[tuple[str, str, str, bytes]]:
    """Read the parts of a multipart request by the standard library: field, filename, media type and content."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + request.body).get_payload()
    assert isinstance(parts, list)
    found: list[tuple[str, str, str, bytes]] = []
    for part in parts:
        assert not isinstance(part, str)
        field = str(part.get_param("name", header="content-disposition"))
        body = part.get_payload(decode=True)
        assert isinstance(body, bytes)
        found.append((field, str(part.get_filename()), part.get_content_type(), body))
    return found


def _assert_stored(request: RawRequest, step: Any) -> None:
    assert (request.method, request.target) == (step["method"], step["target"])
    assert "api_key" not in request.headers
    assert request.headers.get("content-type") == step.get("contentType")
    if "size" in step:
        assert len(request.body) == step["size"]
    else:
        assert request.body == step.get("body", "").encode()
