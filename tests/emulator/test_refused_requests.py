"""What the HTTP parser refuses: requests that aren't HTTP, and bodies that aren't what their head says."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator

HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UNREADABLE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a wrong method": b"G@T /v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
    "a wrong version": b"GET /v1/tasks HTTP/9.x\r\nHost: x\r\n\r\n",
    "no host": b"GET /v1/tasks HTTP/1.1\r\n\r\n",
    "a wrong address": b"GET http://[::1/v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line without a colon": b"GET /v1/tasks HTTP/1.1\r\nHost x\r\n\r\n",
    "a control character": b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
    "a long header": b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "a long address": b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a wrong length": HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a wrong coding": HEAD + b"Transfer-Encoding: other\r\n\r\n{}",
    "a wrong chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}
LEFT_OUT = "a wrong address" if tuple(map(int, aiohttp.__version__.split(".")[:3])) < (3, 14, 4) else None
"""Before 3.14.4 aiohttp doesn't respond to it."""
EACH = pytest.mark.parametrize(
    "data", [pytest.param(data, id=name) for name, data in UNREADABLE.items() if name != LEFT_OUT]
)


async def _send(url: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return the response on a connection that the server closes."""
    origin = URL(url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(data)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


@EACH
async def test_an_unreadable_request_gets_an_error_of_the_api(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """The API responds with its envelope of errors, the request is in the log, and no traceback is printed."""
    caplog.set_level(logging.WARNING)

    status, headers, body = await _send(emulator.url, data)

    assert (status, headers["Content-Type"]) == (400, "application/json; charset=utf-8")
    assert json.loads(body)["error"]["code"] == "validation_error"
    assert [(one.origin, one.method, one.status, one.ended) for one in emulator.log] == [("api", "", 400, True)]
    assert caplog.records == []


@EACH
async def test_an_unreadable_request_gets_an_error_of_the_storage(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """The storage responds with XML, as to other errors."""
    status, headers, body = await _send(emulator.storage_url, data)

    assert (status, headers["Content-Type"]) == (400, "application/xml; charset=utf-8")
    assert b"<Code>BadRequest</Code>" in body
    assert [(one.origin, one.method, one.status, one.ended) for one in emulator.log] == [("storage", "", 400, True)]
    assert caplog.records == []


async def test_an_unreadable_request_after_a_good_one(emulator: Emulator) -> None:
    """Both are in the log, on one connection, and the second one ends it."""
    origin = URL(emulator.url)
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAPI_KEY: {emulator.api_key}\r\n\r\n".encode())
    await reader.readuntil(b'"offset":0}')
    writer.write(UNREADABLE["a wrong method"])

    assert (await reader.read()).startswith(b"HTTP/1.0 400 Bad Request")
    assert [(record.method, record.status) for record in emulator.log] == [("GET", 200), ("", 400)]
    assert {record.connection for record in emulator.log} == {1}
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/nowhere"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_an_encoded_body_is_taken_as_it_was_sent(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, coding: str, path: str
) -> None:
    """Nothing is decoded, so that it is no JSON, whether it could be decoded or not."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAPI_KEY: {emulator.api_key}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: 5\r\n\r\n"

    status, _, body = await _send(emulator.url, head.encode() + b"abcde")

    assert (status, json.loads(body)["error"]["code"]) in [(400, "validation_error"), (404, "not_found")]
    assert (emulator.log[0].status, emulator.log[0].body) == (status, b"abcde")
    assert caplog.records == []
