"""Faults of downloads, on both origins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import aiohttp
import pytest
from yarl import URL

from emulator.raw_client import read_until_broken
from emulator.raw_workspace import RawWorkspace, send
from rebyte_async.emulator import (
    DOWNLOADS,
    ArtifactFormat,
    BrokenBody,
    CutBytes,
    Delay,
    Drop,
    EmptyBody,
    ExpiredUrl,
    HtmlPage,
    Match,
    NoRanges,
    OtherETag,
    Redirect,
    Slow,
    Split,
    Status,
    WrongLength,
)

if TYPE_CHECKING:
    from emulator.raw_client import RawClient, Response
    from rebyte_async.emulator import Emulator, Fault
    from rebyte_async.emulator.frames import CutManner

DATA = bytes(range(256)) * 40


@pytest.fixture(params=[None, 302], ids=["api", "storage"])
async def workspace(request: pytest.FixtureRequest, emulator: Emulator, http: RawClient) -> RawWorkspace:
    """A workspace with one artifact, whose bytes come from the API or from the storage that it redirects to."""
    emulator.artifact_format = ArtifactFormat(redirect=request.param)
    workspace = await RawWorkspace.create(http)
    emulator.put_artifact(workspace.id, "a", DATA)
    return workspace


async def _where(workspace: RawWorkspace) -> tuple[URL, dict[str, str]]:
    """Return the URL of the bytes, and the headers that they need."""
    emulator = workspace.http.emulator
    if emulator.artifact_format.redirect is None:
        return URL(f"{emulator.url}{workspace.path}/a"), {"API_KEY": emulator.api_key}
    return URL((await workspace.call("GET", "a")).headers["Location"], encoded=True), {}


async def _get(workspace: RawWorkspace, **headers: str) -> Response:
    url, key = await _where(workspace)
    return await send(workspace.http, "GET", str(url), headers={**key, **headers})


async def _broken(workspace: RawWorkspace) -> tuple[bytes, Exception | None]:
    url, key = await _where(workspace)
    async with workspace.http.session.get(url, headers=key) as response:
        return await read_until_broken(response)


@pytest.mark.parametrize("manner", ["reset", "eof", "clean"])
async def test_a_download_can_be_cut(emulator: Emulator, workspace: RawWorkspace, manner: CutManner) -> None:
    """Since its length was promised, every manner of cut is an error; the rest can be requested."""
    emulator.faults.add(CutBytes(1000, manner), DOWNLOADS)

    received, error = await _broken(workspace)
    rest = await _get(workspace, Range="bytes=1000-", **{"If-Range": emulator.artifacts(workspace.id)[0].etag})

    assert (received, error is not None) == (DATA[:1000], True)
    assert (rest.status, rest.body) == (206, DATA[1000:])


async def test_a_range_can_be_cut(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The bytes of the response count."""
    emulator.faults.add(CutBytes(10, "eof"), DOWNLOADS)
    url, key = await _where(workspace)

    async with workspace.http.session.get(url, headers={**key, "Range": "bytes=500-"}) as response:
        received, error = await read_until_broken(response)

    assert (received, error is not None) == (DATA[500:510], True)


async def test_a_length_can_be_too_large(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The connection is closed instead of sending the rest."""
    emulator.faults.add(WrongLength(3))

    received, error = await _broken(workspace)

    assert (received, error is not None) == (DATA, True)


async def test_a_length_can_be_too_small(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The body ends early and looks whole."""
    emulator.faults.add(WrongLength(-3))

    response = await _get(workspace)

    assert (response.status, response.body) == (200, DATA[:-3])


async def test_a_length_can_be_missing(emulator: Emulator, workspace: RawWorkspace) -> None:
    """Without a length a body that was cut cleanly looks like a whole one."""
    emulator.faults.add(WrongLength(None), times=2)
    whole = await _get(workspace)
    emulator.faults.add(CutBytes(7, "clean"), DOWNLOADS)
    cut = await _get(workspace)

    assert ("Content-Length" in whole.headers, whole.body, cut.body) == (False, DATA, DATA[:7])


async def test_an_etag_can_change(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The ETag can be a new one each time, and then `If-Range` gets the whole artifact."""
    etag = emulator.artifacts(workspace.id)[0].etag
    emulator.faults.add(OtherETag(), times=2)

    first = await _get(workspace, **{"Range": "bytes=9-", "If-Range": etag})
    second = await _get(workspace)
    third = await _get(workspace)

    assert (first.status, first.body) == (200, DATA)
    assert len({etag, first.headers["ETag"], second.headers["ETag"]}) == 3
    assert third.headers["ETag"] == etag


async def test_an_etag_can_change_without_being_heeded(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The range is sent all the same, and only its ETag shows the change."""
    etag = emulator.artifacts(workspace.id)[0].etag
    emulator.faults.add(OtherETag(heeded=False))

    response = await _get(workspace, **{"Range": "bytes=9-", "If-Range": etag})

    assert (response.status, response.body, response.headers["ETag"] == etag) == (206, DATA[9:], False)


async def test_ranges_can_be_ignored(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The whole artifact comes, with a 200."""
    emulator.faults.add(NoRanges())

    response = await _get(workspace, Range="bytes=9-")

    assert (response.status, response.body, "Accept-Ranges" in response.headers) == (200, DATA, False)


async def test_a_download_can_be_slow(emulator: Emulator, workspace: RawWorkspace) -> None:
    """Some bytes come at once, the rest piece by piece, until it is whole."""
    emulator.faults.add(Slow(0.001, size=3000, after=4000))

    assert (await _get(workspace)).body == DATA


async def test_a_download_can_stall(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The connection of a stalled download stays open until the client gives up."""
    emulator.faults.add(Slow(3600, after=100))
    url, key = await _where(workspace)

    async with workspace.http.session.get(url, headers=key) as response:
        assert await response.content.readexactly(100) == DATA[:100]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.02)


async def test_a_download_can_come_in_small_pieces(emulator: Emulator, workspace: RawWorkspace) -> None:
    """`Split` works for downloads as for streams."""
    emulator.faults.add(Split(1000, seed=1), DOWNLOADS)

    assert (await _get(workspace)).body == DATA


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Status(500), 500, None),
        (Status(500, when="after"), 500, None),
        (HtmlPage(503), 503, None),
        (EmptyBody(), 200, b""),
        (BrokenBody(b"<oops"), 200, b"<oops"),
        (Delay(0.001), 200, DATA),
        (Delay(0.001, "after"), 200, DATA),
    ],
)
async def test_request_faults_work_for_downloads(
    emulator: Emulator, workspace: RawWorkspace, fault: Fault, status: int, body: bytes | None
) -> None:
    """Preconditions are decided before a byte of the artifact is sent."""
    rule = emulator.faults.add(fault, DOWNLOADS)

    response = await _get(workspace)

    assert (response.status, rule.fired) == (status, 1)
    assert body is None or response.body == body


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_download_can_be_dropped(
    emulator: Emulator, workspace: RawWorkspace, when: Literal["before", "after"]
) -> None:
    """Not even its head comes."""
    emulator.faults.add(Drop(when), DOWNLOADS, times=None)

    with pytest.raises(aiohttp.ClientConnectionError):
        await _get(workspace)


async def test_faults_can_be_for_one_origin(emulator: Emulator, http: RawClient) -> None:
    """A signed URL can expire before it is used, while the API has a fault of its own."""
    emulator.artifact_format = ArtifactFormat(redirect=302)
    workspace = await RawWorkspace.create(http)
    emulator.put_artifact(workspace.id, "a", DATA)
    expired = emulator.faults.add(ExpiredUrl())
    emulator.faults.add(Status(429), Match(origin="api", path=".*/artifacts/a"))

    first = await workspace.call("GET", "a")
    second = [await _get(workspace) for _ in range(2)]

    assert first.status == 429
    assert [response.status for response in second] == [403, 200]
    assert (b"expired" in second[0].body, expired.fired) == (True, 1)


async def test_uploads_of_artifacts_can_fail(emulator: Emulator, http: RawClient) -> None:
    """Uploads to both origins can fail; a body that a fault has read first is stored all the same."""
    workspace = await RawWorkspace.create(http)
    emulator.faults.add(HtmlPage(502), Match("POST", f"{workspace.path}"))
    emulator.faults.add(Delay(0.001), Match("POST", f"{workspace.path}"), times=2)
    emulator.faults.add(Status(503), Match("PUT", origin="storage"))
    posted = [(await workspace.upload(("a", b"x"))).status for _ in range(2)]
    url = await workspace.upload_url("b")
    headers = {"Content-Type": "application/octet-stream"}
    put = [(await send(http, "PUT", url, data=b"x", headers=headers)).status for _ in range(2)]

    assert (posted, put) == ([502, 201], [503, 200])
    assert [(artifact.name, artifact.size) for artifact in emulator.artifacts(workspace.id)] == [("a", 1), ("b", 1)]


async def test_a_download_can_be_redirected_by_a_fault(emulator: Emulator, http: RawClient) -> None:
    """A redirected download leads to the same path on the other origin, which needs no key."""
    workspace = await RawWorkspace.create(http)
    emulator.put_artifact(workspace.id, "a", DATA)
    emulator.faults.add(Redirect(307, origin="storage"), DOWNLOADS)

    redirect = await workspace.call("GET", "a")
    response = await send(http, "GET", redirect.headers["Location"])

    assert (redirect.status, response.status, response.body) == (307, 200, DATA)


async def test_a_match_can_call_a_function(emulator: Emulator, http: RawClient) -> None:
    """The function decides about what the other fields can't express."""
    emulator.faults.add(Status(500), Match(also=lambda call: "offset" in call.request.query), times=None)

    statuses = [(await http.call("GET", path)).status for path in ("/tasks", "/tasks?offset=1")]

    assert statuses == [200, 500]


async def test_an_artifact_can_be_deleted_during_its_download(emulator: Emulator, http: RawClient) -> None:
    """The connection breaks then."""
    workspace = await RawWorkspace.create(http)
    await workspace.upload(("a", bytes(1 << 20)))
    emulator.faults.add(Slow(0.01, size=256 << 10))

    async with http.session.get(f"{emulator.url}{workspace.path}/a", headers={"API_KEY": emulator.api_key}) as response:
        await workspace.call("DELETE", "a")
        received, error = await read_until_broken(response)

    assert len(received) < 1 << 20
    assert error is not None
