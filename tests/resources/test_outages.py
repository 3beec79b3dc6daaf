"""Transfers over a network that is silent for a while: which outages they outlast, and how they end otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field

from rebyte_async import RetryPolicy, Timeouts, errors
from support.clients import SkippedTime, client_of
from support.raw_server import RawRequest, RawServer, http_response, json_response

BODY = bytes(range(256)) * 8
HALF = len(BODY) // 2
ATTEMPTS = RetryPolicy().max_attempts


@define
class Outage:
    """A storage that falls silent for some attempts; the first of them in the middle of a body."""

    silent: int
    transfers: list[RawRequest] = field(factory=list[RawRequest], init=False)

    async def handle(self, request: RawRequest) -> Any:
        """Announce an upload, or transfer a body as far as the network lets it through."""
        if request.path == "/v1/files":
            url = f"http://{request.headers['host']}/storage?sig=1"
            return json_response({"id": "f", "filename": "f", "uploadUrl": url}, 201)
        self.transfers.append(request)
        if len(self.transfers) > self.silent:
            return http_response(200) if request.method == "PUT" else rest_of(request)
        if request.method == "GET" and len(self.transfers) == 1:
            return half_a_body()
        await anyio.sleep_forever()


def rest_of(request: RawRequest) -> bytes:
    """Return the range that is asked for."""
    assert request.headers["range"] == f"bytes={HALF}-"
    content_range = f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"
    return http_response(206, BODY[HALF:], Content_Range=content_range, ETag='"1"')


async def half_a_body() -> AsyncIterator[bytes]:
    """Send half of a body, and then nothing more."""
    yield b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % len(BODY) + BODY[:HALF]
    await anyio.sleep_forever()


async def transfer(outage: Outage, kind: str, folder: Path) -> None:
    """Make a transfer with the default policy, but quicker."""
    timeouts, skipped = Timeouts(connect=5, read=0.1), SkippedTime()
    async with RawServer(outage.handle) as server:
        async with client_of(server.url, timeouts=timeouts, retry=RetryPolicy(), _time=skipped.time) as client:
            if kind == "upload":
                await client.files.upload(BODY, filename="a")
            else:
                await client.artifacts.download("w", "a", folder / "a")


@pytest.mark.parametrize("kind", ["upload", "download"])
async def test_a_transfer_outlasts_an_outage_of_fewer_attempts(kind: str, tmp_path: Path) -> None:
    """An upload starts again from its beginning; a download continues where it was."""
    outage = Outage(ATTEMPTS - 1)
    await transfer(outage, kind, tmp_path)
    assert len(outage.transfers) == ATTEMPTS
    if kind == "upload":
        assert {request.body for request in outage.transfers} == {BODY}
    else:
        assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("kind", ["upload", "download"])
async def test_a_transfer_ends_clearly_in_a_longer_outage(kind: str, tmp_path: Path) -> None:
    """It neither hangs nor leaves a part: the error says what was missing, and after how many attempts."""
    outage = Outage(ATTEMPTS)
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await transfer(outage, kind, tmp_path)
    assert caught.value.attempts == len(outage.transfers) == ATTEMPTS
    assert list(tmp_path.iterdir()) == []
