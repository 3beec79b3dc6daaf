"""Workspace artifacts."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async import RetryPolicy, errors
from rebyte_async.types import Artifact, Page, UploadUrl
from rebyte_async.types.artifacts import safe_name
from support.clients import KEY, client_of
from support.golden import Call, assert_golden, form_of
from support.raw_server import DROP, RawRequest, RawServer, chunk, http_response, json_response

ID = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0002"
TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
DATA = bytes(range(256)) * 9_000
LARGE = b"x" * (8 * 1024 * 1024)
"""The smallest artifact that is sent to a signed URL."""
OTHER_VERSION = (
    b'HTTP/1.1 206 X\r\nContent-Length: 2\r\nETag: "other"\r\nContent-Range: bytes 1000000-1000001/2304000\r\n\r\nab'
)
CASES: dict[str, tuple[Call, Any]] = {
    "list_artifacts": (
        lambda c: c.artifacts.list(ID),
        Page(
            (
                Artifact(
                    filename="reports/a.csv",
                    size=12,
                    content_type="text/csv",
                    created_at=TIME,
                    updated_at=TIME,
                    url="https://s.invalid/a?sig=1",
                ),
                Artifact(filename="b.txt"),
            ),
            total=2,
            limit=2,
            offset=0,
        ),
    ),
    "create_upload_urls": (
        lambda c: c.artifacts.upload_urls(ID, [("a.csv", "text/csv"), "b"]),
        (
            UploadUrl(filename="a.csv", content_type="text/csv", upload_url="https://s.invalid/a?sig=1"),
            UploadUrl(filename="b", content_type="application/octet-stream", upload_url="https://s.invalid/b?sig=2"),
        ),
    ),
    "upload_artifacts": (
        lambda c: c.artifacts.upload(ID, ("reports/a.csv", b"name,amount\n"), ("b", b"")),
        (
            Artifact(filename="reports/a.csv", size=12, content_type="text/csv"),
            Artifact(filename="b", size=0, content_type="application/octet-stream"),
        ),
    ),
    "upload_artifact_by_url": (
        lambda c: c.artifacts.upload(ID, ("big.csv", LARGE)),
        (Artifact(filename="big.csv", size=len(LARGE), content_type="text/csv"),),
    ),
    "get_artifact": (lambda c: c.artifacts.read(ID, "reports/a.csv"), b"name,amount\n"),
    "get_artifact_by_url": (lambda c: c.artifacts.read(ID, "reports/a.csv"), b"name,amount\n"),
    "delete_artifact": (lambda c: c.artifacts.delete(ID, "reports/a.csv"), None),
    "delete_artifacts": (lambda c: c.artifacts.delete_all(ID), None),
}


@pytest.mark.parametrize("name", CASES)
async def test_endpoints_follow_the_contract(name: str) -> None:
    """The request has exactly the contract's fields, and the response becomes the documented value."""
    await assert_golden(name, *CASES[name])


@pytest.mark.parametrize("key", ["artifacts", "data", "files", None])
async def test_the_list_is_found_under_any_key(key: str | None) -> None:
    """The list may be under any of the guessed keys, or bare."""
    items = [{"filename": "a"}, {"name": "b", "size": 3}]

    async def handler(_: RawRequest) -> bytes:
        return json_response({key: items} if key else items)

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert [(item.filename, item.size) async for item in client.artifacts.list(ID)] == [("a", None), ("b", 3)]


class ScriptedDownload:
    """One artifact with scripted downloads: how many bytes are sent before the connection is lost, or a response."""

    def __init__(
        self, *ways: Any, data: bytes = DATA, etag: str | None = '"v1"', ranges: bool = True, coding: str | None = None
    ) -> None:
        self.ways = list(ways)
        self.data = data
        self.etag = etag
        self.ranges = ranges
        self.coding = coding
        self.asked: list[str | None] = []

    async def __call__(self, request: RawRequest) -> Any:
        """Respond to a download."""
        wanted = request.headers.get("range")
        self.asked.append(wanted)
        way = self.ways.pop(0) if self.ways else None
        if isinstance(way, bytes) or way is DROP:
            return way
        start = 0
        if wanted and self.ranges and request.headers.get("if-range") == self.etag:
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert found is not None
            start = int(found[1])
        return self.body(start, way)

    async def body(self, start: int, most: int | None) -> Any:
        """Send the body from an offset, and cut it after `most` bytes."""
        rest = self.data[start:]
        lines = ["HTTP/1.1 206 X" if start else "HTTP/1.1 200 X", f"Content-Length: {len(rest)}"]
        if self.etag is not None:
            lines.append(f"ETag: {self.etag}")
        if self.coding is not None:
            lines.append(f"Content-Encoding: {self.coding}")
        if start:
            lines.append(f"Content-Range: bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        yield "\r\n".join(lines).encode() + b"\r\n\r\n"
        yield rest if most is None else rest[:most]
        await asyncio.sleep(0.01)  # aiohttp drops what it hasn't given out when the connection is reset
        if most is not None:
            yield DROP


async def test_a_download_is_whole(tmp_path: Path) -> None:
    """The file has the artifact's bytes, the progress ends at all of them, and the folder holds nothing else."""
    script = ScriptedDownload()
    progress: list[tuple[int, int]] = []
    async with RawServer(script) as server, client_of(server.url) as client:
        path = await client.artifacts.download(
            ID, "reports/a.csv", tmp_path / "mine.csv", progress=lambda *at: progress.append(at)
        )
    assert path == tmp_path / "mine.csv"
    assert path.read_bytes() == DATA
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.csv"]
    assert progress[-1] == (len(DATA), len(DATA))
    assert server.requests[0].target == f"/v1/workspaces/{ID}/artifacts/reports%2Fa.csv"


async def test_a_cut_download_is_resumed(tmp_path: Path) -> None:
    """Bytes that have arrived are not fetched again while the content is the same."""
    script = ScriptedDownload(1_000_000, 500_000)
    async with RawServer(script) as server, client_of(server.url) as client:
        path = await client.artifacts.download(ID, "a", tmp_path)
        assert path.read_bytes() == DATA
        assert path == tmp_path / "a"
    assert script.asked[0] is None
    assert all(wanted and wanted.startswith("bytes=") for wanted in script.asked[1:])
    assert len(script.asked) == 3


@pytest.mark.parametrize("why", ["no etag", "weak etag", "no ranges", "changed"])
async def test_a_download_that_cannot_be_resumed_starts_again(why: str, tmp_path: Path) -> None:
    """When the content may have changed, every byte is fetched again."""
    script = ScriptedDownload(1_000_000)
    if why == "no etag":
        script.etag = None
    elif why == "weak etag":
        script.etag = 'W/"v1"'
    elif why == "no ranges":
        script.ranges = False

    async def handler(request: RawRequest) -> Any:
        if why == "changed" and len(script.asked) == 1:
            script.etag = '"v2"'
            script.data = DATA[::-1]
        return await script(request)

    async with RawServer(handler) as server, client_of(server.url) as client:
        path = await client.artifacts.download(ID, "a", tmp_path)
        assert path.read_bytes() == script.data
        assert await client.artifacts.read(ID, "a") == script.data


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 206 X\r\nContent-Length: 2\r\nContent-Range: bytes 7-8/9\r\n\r\nab",
        b"HTTP/1.1 206 X\r\nContent-Length: 2\r\n\r\nab",
        http_response(416),
        OTHER_VERSION,
    ],
)
async def test_a_range_that_does_not_fit_is_refused(odd: bytes, tmp_path: Path) -> None:
    """A range of another offset, of another version or without an offset starts the download again."""
    script = ScriptedDownload(1_000_000, odd)
    async with RawServer(script) as server, client_of(server.url) as client:
        assert (await client.artifacts.download(ID, "a", tmp_path)).read_bytes() == DATA


async def test_a_range_that_ends_early_is_resumed() -> None:
    """A partial response with fewer bytes than the rest is no end of the download."""
    script = ScriptedDownload(1_000_000)

    async def handler(request: RawRequest) -> Any:
        if len(script.asked) != 1:
            return await script(request)
        script.asked.append(request.headers["range"])
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        head = f"Content-Length: 10\r\nETag: {script.etag}\r\nContent-Range: bytes {start}-{start + 9}/{len(DATA)}"
        return f"HTTP/1.1 206 X\r\n{head}\r\n\r\n".encode() + DATA[start : start + 10]

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert await client.artifacts.read(ID, "a") == DATA
    starts = [int(wanted[6:-1]) for wanted in script.asked if wanted]
    assert starts[1] == starts[0] + 10


@pytest.mark.parametrize(
    "failure", [DROP, http_response(500), http_response(404), 100], ids=["lost", "500", "404", "cut"]
)
async def test_a_failed_download_keeps_the_old_file(failure: Any, tmp_path: Path) -> None:
    """The old file is unchanged, and no part file is left."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    script = ScriptedDownload(*[failure] * 20, etag=None)
    async with RawServer(script) as server, client_of(server.url) as client:
        with pytest.raises(errors.RebyteError):
            await client.artifacts.download(ID, "a", target)
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    """A cancelled download leaves no file, no part file and no connection."""
    script = ScriptedDownload()

    async def handler(request: RawRequest) -> Any:
        async def slow() -> Any:
            async for piece in await script(request):
                yield piece
                await asyncio.sleep(5)

        return slow()

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.artifacts.download(ID, "a", tmp_path / "a")
        assert client.stats().open_streams == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_download_cancelled_at_its_start_leaves_nothing(tmp_path: Path) -> None:
    """Whenever the cancellation arrives, the part file that a thread is creating at that moment is removed."""
    async with RawServer(ScriptedDownload()) as server, client_of(server.url) as client:
        await client.artifacts.read(ID, "a")
        for moment in range(60):
            loading = asyncio.ensure_future(client.artifacts.download(ID, "a", tmp_path / f"a{moment}"))
            for _ in range(moment % 12):
                await asyncio.sleep(0)
            loading.cancel()
            await asyncio.wait([loading])
        await asyncio.sleep(0.1)  # for a part file that such a thread would have left
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".part"] == []


async def test_a_download_through_a_signed_url_carries_no_key(tmp_path: Path) -> None:
    """A redirect to the storage is followed without the API key."""
    script = ScriptedDownload(700_000)
    async with RawServer(script) as storage:

        async def handler(_: RawRequest) -> bytes:
            return http_response(302, Location=f"{storage.origin}/x?sig=1")

        async with RawServer(handler) as server, client_of(server.url) as client:
            assert (await client.artifacts.download(ID, "a", tmp_path)).read_bytes() == DATA
    assert len(storage.requests) == 2
    assert not [request for request in storage.requests if KEY in str(request)]


async def test_read_and_stream_give_the_bytes() -> None:
    """`read` and `stream` resume a download that was cut."""
    async with RawServer(ScriptedDownload(1_000_000)) as server, client_of(server.url) as client:
        assert await client.artifacts.read(ID, "a") == DATA
    async with RawServer(ScriptedDownload(1_000_000)) as server, client_of(server.url) as client:
        assert b"".join([piece async for piece in client.artifacts.stream(ID, "a")]) == DATA
        assert client.stats().open_streams == 0


async def test_a_stream_that_cannot_be_resumed_is_an_error() -> None:
    """A stream whose first part was delivered doesn't start again."""
    async with RawServer(ScriptedDownload(1_000_000, etag=None)) as server, client_of(server.url) as client:
        with pytest.raises(errors.TransportError, match="resumed"):
            async for _ in client.artifacts.stream(ID, "a"):
                pass


async def test_a_stream_is_closed_when_its_consumer_stops() -> None:
    """`aclosing` closes the connection of an iteration that stops early."""
    async with RawServer(ScriptedDownload()) as server, client_of(server.url) as client:
        async with aclosing(client.artifacts.stream(ID, "a")) as blocks:
            async for _ in blocks:
                break
        assert client.stats().open_streams == 0


async def test_downloads_never_leave_their_folder(tmp_path: Path) -> None:
    """Names from the server can't lead out of the destination."""
    names = ["a.txt", "../../etc/passwd", "/etc/shadow", "reports/b.txt", "..", "C:\\x", "NUL.txt", "a.txt"]

    async def handler(request: RawRequest) -> Any:
        if request.path.endswith("/artifacts"):
            return json_response({"artifacts": [{"name": name} for name in names]})
        return http_response(200, request.path.rsplit("/", 1)[1].encode())

    folder = tmp_path / "deep" / "out"
    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match="dot"):
            await client.artifacts.download_all(ID, folder)
        names.remove("..")
        paths = await client.artifacts.download_all(ID, folder)
    assert len(paths) == 6
    assert all(path.parent == folder for path in paths)
    assert (folder / "reports%2Fb.txt").read_text() == "reports%2Fb.txt"
    assert {entry.name for entry in tmp_path.iterdir()} == {"deep"}


@given(st.text(min_size=1))
def test_a_safe_name_is_a_plain_file_name(name: str) -> None:
    """Any name from a server becomes one file in one folder."""
    safe = safe_name(name)
    assert safe
    assert not set(safe) & set('/\\:*?"<>|\0')
    assert not safe.endswith((".", " "))
    safe.encode()


@given(st.lists(st.text(min_size=1, max_size=4), min_size=2, max_size=2, unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    """Different artifacts become different files."""
    assert len({safe_name(name) for name in names}) == 2


@pytest.mark.parametrize("name", ["a.txt", "Ünïcode 字.csv", ".hidden", "a b", "console.fig", "COM10"])
def test_a_plain_name_is_unchanged(name: str) -> None:
    """A name that is safe stays as it is."""
    assert safe_name(name) == name


async def test_small_artifacts_are_sent_in_one_form(tmp_path: Path) -> None:
    """Small artifacts share one request, with a length and each name and media type."""
    path = tmp_path / "a.csv"
    path.write_bytes(DATA)
    replies = [DROP]
    progress: list[tuple[int, int]] = []

    async def handler(_: RawRequest) -> Any:
        return replies.pop() if replies else http_response(201)

    async with RawServer(handler) as server, client_of(server.url) as client:
        made = await client.artifacts.upload(
            ID, path, ('odd"\r\nname.txt', b"odd"), progress=lambda *at: progress.append(at)
        )
    assert [(item.filename, item.size) for item in made] == [("a.csv", len(DATA)), ('odd"\r\nname.txt', 3)]
    assert len(server.requests) == 2
    for request in server.requests:
        assert request.headers["api_key"] == KEY
        assert form_of(request) == [
            ("files", "a.csv", "text/csv", DATA),
            ("files", "odd%22%0D%0Aname.txt", "text/plain", b"odd"),
        ]
    assert progress[-1] == (len(DATA) + 3, len(DATA) + 3)


@pytest.mark.parametrize("named", [True, False])
async def test_large_artifacts_are_sent_to_signed_urls(*, named: bool) -> None:
    """Each large artifact has its own URL and media type, and no API key; a refused URL is replaced once."""
    large = LARGE
    refusals = [http_response(403)]

    async def put(_: RawRequest) -> Any:
        return refusals.pop() if refusals else http_response(200)

    async with RawServer(put) as storage:

        async def handler(request: RawRequest) -> Any:
            if not request.path.endswith("upload-url"):
                return http_response(200)
            urls = [
                {"uploadUrl": f"{storage.origin}/{file['name']}?sig=1"} | ({"name": file["name"]} if named else {})
                for file in request.json["files"]
            ]
            return json_response({"urls": urls[::-1] if named else urls})

        async with RawServer(handler) as server, client_of(server.url) as client:
            await client.artifacts.upload(ID, ("a.bin", large), ("small.txt", b"s"), ("b.txt", large))
        assert len(server.seen("POST", f"/workspaces/{ID}/artifacts")) == 1
    stored = {request.path: request for request in storage.requests}
    assert len(storage.requests) == 3
    assert set(stored) == {"/a.bin", "/b.txt"}
    assert stored["/b.txt"].headers["content-type"] == "text/plain"
    assert all(request.body == large and KEY not in str(request.headers) for request in storage.requests)


class Storage:
    """The API and its storage in one. Names with `bad` are refused."""

    def __init__(self) -> None:
        self.stored: list[str] = []

    async def __call__(self, request: RawRequest) -> bytes:
        """Respond to an upload."""
        if request.method == "PUT":
            if "bad" in request.path:
                return http_response(409)
            self.stored.append(request.path[1:])
            return http_response(200)
        if request.path.endswith("upload-url"):
            origin = f"http://{request.headers['host']}"
            names = [file["name"] for file in request.json["files"]]
            return json_response({"urls": [{"uploadUrl": f"{origin}/{name}", "name": name} for name in names]})
        parts = form_of(request)
        return http_response(403) if any("bad" in name for _, name, _, _ in parts) else http_response(201)


async def test_the_error_of_one_upload_has_the_others() -> None:
    """The error lists, in the given order, the artifacts of a completed form and those sent to signed URLs."""
    storage = Storage()
    async with RawServer(storage) as server, client_of(server.url) as client:
        with pytest.raises(errors.ConflictError) as caught:
            await client.artifacts.upload(ID, ("a", LARGE), ("b.csv", b"b"), ("bad", LARGE), ("c", LARGE), ("d", b""))
        assert caught.value.uploaded == (
            Artifact(filename="a", size=len(LARGE), content_type="application/octet-stream"),
            Artifact(filename="b.csv", size=1, content_type="text/csv"),
            Artifact(filename="c", size=len(LARGE), content_type="application/octet-stream"),
            Artifact(filename="d", size=0, content_type="application/octet-stream"),
        )
        with pytest.raises(errors.PermissionDeniedError) as caught_early:
            await client.artifacts.upload(ID, ("a", LARGE), ("bad.csv", b"b"))
        assert caught_early.value.uploaded == ()
    assert sorted(storage.stored) == ["a", "c"]


async def test_a_sources_own_error_notes_what_was_uploaded() -> None:
    """The error is raised unchanged, with a note."""

    async def failing() -> AsyncIterator[bytes]:
        yield LARGE
        raise KeyError("mine")

    def fail(sent: int, _: int) -> None:
        if sent > 1:
            raise KeyError("mine")

    async with RawServer(Storage()) as server, client_of(server.url) as client:
        with pytest.raises(KeyError) as caught:
            await client.artifacts.upload(ID, ("s", b"1"), ("a", LARGE), progress=fail)
        assert [note for note in caught.value.__notes__ if "Artifact(filename='s'" in note]
        with pytest.raises(KeyError) as unsent:
            await client.artifacts.upload(ID, ("s", b"1"), ("a", failing()))
        assert not hasattr(unsent.value, "__notes__")


class Folder:
    """A workspace with some artifacts. Those with `bad` in their names are refused."""

    def __init__(self, *names: str, sized: bool = True) -> None:
        self.items = [{"name": name, "size": len(DATA)} if sized else {"name": name} for name in names]

    async def __call__(self, request: RawRequest) -> bytes:
        """Respond to a listing or a download."""
        if request.path.endswith("/artifacts"):
            return json_response({"artifacts": self.items})
        return http_response(403) if "bad" in request.path else http_response(200, DATA)


async def test_the_error_of_one_download_has_the_others(tmp_path: Path) -> None:
    """The complete files stay and are on the error; an OSError has them in a note."""
    async with RawServer(Folder("a", "bad", "b")) as server, client_of(server.url) as client:
        with pytest.raises(errors.PermissionDeniedError) as caught:
            await client.artifacts.download_all(ID, tmp_path)
        assert caught.value.downloaded == (tmp_path / "a", tmp_path / "b")
        assert [path.read_bytes() for path in caught.value.downloaded] == [DATA, DATA]
        again = pickle.loads(pickle.dumps(caught.value))
        assert again.downloaded == caught.value.downloaded
    (tmp_path / "dir").mkdir()
    async with RawServer(Folder("a", "dir")) as server, client_of(server.url) as client:
        with pytest.raises(OSError, match="dir") as failed:
            await client.artifacts.download_all(ID, tmp_path, concurrency=1)
    assert failed.value.__notes__ == [f"downloaded before that: {tmp_path / 'a'}"]


@pytest.mark.parametrize("sized", [True, False])
async def test_the_progress_of_all_downloads_is_their_sum(tmp_path: Path, *, sized: bool) -> None:
    """The sum ends at all bytes; without sizes in the listing, the total is 0 until every response has its length."""
    progress: list[tuple[int, int]] = []
    async with RawServer(Folder("a", "b", sized=sized)) as server, client_of(server.url) as client:
        await client.artifacts.download_all(ID, tmp_path, concurrency=1, progress=lambda *at: progress.append(at))
    assert progress[-1] == (2 * len(DATA), 2 * len(DATA))
    assert {total for _, total in progress} == ({2 * len(DATA)} if sized else {0, 2 * len(DATA)})
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


async def test_the_progress_of_downloads_without_lengths_has_no_total(tmp_path: Path) -> None:
    """While neither the listing nor a response has a length, the total is 0."""
    progress: list[tuple[int, int]] = []

    async def handler(request: RawRequest) -> Any:
        if request.path.endswith("/artifacts"):
            return json_response({"artifacts": [{"name": "a"}]})
        return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(DATA) + chunk(b"")

    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.artifacts.download_all(ID, tmp_path, progress=lambda *at: progress.append(at))
    assert progress[-1] == (len(DATA), 0)


async def test_existing_files_can_be_kept(tmp_path: Path) -> None:
    """Without `overwrite`, nothing is downloaded if one of the names is taken, also a percent-encoded one."""
    (tmp_path / "x%2Fb").write_text("mine")
    async with RawServer(Folder("a", "x/b")) as server, client_of(server.url) as client:
        with pytest.raises(FileExistsError) as caught:
            await client.artifacts.download_all(ID, tmp_path, overwrite=False)
        assert caught.value.filename == str(tmp_path / "x%2Fb")
        assert len(server.requests) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["x%2Fb"]
        paths = await client.artifacts.download_all(ID, tmp_path / "new", overwrite=False)
        assert [path.name for path in paths] == [item.local_name async for item in client.artifacts.list(ID)]


@pytest.mark.parametrize(
    "document", [{"urls": []}, {"urls": [{"uploadUrl": "http://s.invalid/x"}]}, {"urls": [{}]}, {}, {"urls": [5]}]
)
async def test_unusable_upload_urls_are_decode_errors(document: Any) -> None:
    """Too few URLs, plain http and missing URLs are refused."""

    async def handler(_: RawRequest) -> bytes:
        return json_response(document)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError):
            await client.artifacts.upload_urls(ID, ["a"])


@pytest.mark.parametrize("named", [Artifact(filename="a"), UploadUrl(filename="a", content_type="b", upload_url="c")])
def test_the_former_name_of_a_filename_is_kept(named: Artifact | UploadUrl) -> None:
    """Code that was written for `name` reads the same value as `filename`."""
    assert named.name == named.filename == "a"


def test_reprs_show_no_signed_links() -> None:
    """A repr has neither an artifact's link nor an upload URL."""
    shown = repr(Artifact(filename="a", url="https://s.invalid/?sig=1")) + repr(
        UploadUrl(filename="a", content_type="b", upload_url="https://s.invalid/?sig=1")
    )
    assert "sig=1" not in shown


@pytest.mark.parametrize(
    "call",
    [
        lambda c, _: c.artifacts.upload(ID),
        lambda c, _: c.artifacts.upload(ID, b"x"),
        lambda c, _: c.artifacts.upload("..", ("a", b"x")),
        lambda c, _: c.artifacts.upload_urls(ID, []),
        lambda c, _: c.artifacts.upload_urls(ID, "abc"),
        lambda c, _: c.artifacts.upload_urls(ID, [""]),
        lambda c, _: c.artifacts.upload_urls(ID, [("a", "")]),
        lambda c, _: c.artifacts.upload_urls(ID, [5]),
        lambda c, _: c.artifacts.read(ID, ".."),
        lambda c, _: c.artifacts.read(ID, ""),
        lambda c, path: c.artifacts.download("", "a", path),
        lambda c, path: c.artifacts.download_all(ID, path, concurrency=0),
        lambda c, _: c.artifacts.delete(ID, "."),
        lambda c, _: c.artifacts.list(".."),
    ],
)
async def test_what_cannot_be_right_never_leaves(call: Any, tmp_path: Path) -> None:
    """Arguments that can't be right raise an error before any request."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({})

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError):
            await call(client, tmp_path)
        assert not server.requests


async def test_an_unwritable_destination_is_an_os_error(tmp_path: Path) -> None:
    """The system's own error is raised before anything is fetched."""
    async with RawServer(ScriptedDownload()) as server, client_of(server.url) as client:
        with pytest.raises(FileNotFoundError):
            await client.artifacts.download(ID, "a", tmp_path / "missing" / "a")
        assert not server.requests


@pytest.mark.parametrize("etag", ['"v1"', '"other"'])
async def test_ranges_that_never_fit_end_the_download(etag: str) -> None:
    """A new start is no progress, so the attempts are limited and counted."""

    async def handler(request: RawRequest) -> Any:
        async def half() -> Any:
            yield b'HTTP/1.1 200 X\r\nContent-Length: 6\r\nETag: "v1"\r\n\r\nabc'
            await asyncio.sleep(0.01)

        if "range" in request.headers:
            head = f"HTTP/1.1 206 X\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/6\r\nETag: {etag}\r\n\r\n"
            return head.encode() + b"abc"
        return half()

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.TransportError) as caught:
            await client.artifacts.read(ID, "a")
        assert len(server.requests) <= 6
        assert caught.value.attempts == len(server.requests)


async def test_downloads_spend_the_retry_budget() -> None:
    """Downloads share the client's retry budget."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(500)

    policy = RetryPolicy(base_delay=0.001, budget=2)
    async with RawServer(handler) as server, client_of(server.url, retry=policy) as client:
        for _ in range(3):
            with pytest.raises(errors.InternalServerError):
                await client.artifacts.read(ID, "a")
        assert len(server.requests) == 5


async def test_a_compressed_artifact_is_decoded() -> None:
    """A storage may send encoded bytes unasked; the length is then that of the encoded bytes."""
    packed = gzip.compress(DATA)

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, packed, Content_Encoding="gzip", ETag='"v1"')

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert await client.artifacts.read(ID, "a") == DATA


async def test_a_name_that_is_no_file_here_does_not_end_the_other_downloads(tmp_path: Path) -> None:
    """The others are downloaded; then the error is raised."""
    names = ["..", "b" * 300, "a", "c"]
    async with RawServer(Folder(*names)) as server, client_of(server.url) as client:
        with pytest.raises((OSError, errors.InvalidRequestError)):
            await client.artifacts.download_all(ID, tmp_path, concurrency=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


@pytest.mark.parametrize("coding", ["", "identity", "IDENTITY", "aws-chunked"])
async def test_a_content_encoding_that_changes_nothing_allows_resuming(coding: str, tmp_path: Path) -> None:
    """Storages name such codings though the bytes are the file's own."""
    script = ScriptedDownload(700_000, coding=coding)
    async with RawServer(script) as server, client_of(server.url) as client:
        assert (await client.artifacts.download(ID, "a", tmp_path)).read_bytes() == DATA
    first, second = (request.headers.get("range") for request in server.requests)
    assert first is None
    assert re.fullmatch("bytes=[1-9][0-9]+-", second or "")  # a reset may cost some of what was sent before it


@pytest.mark.parametrize("name", ["a\x9b31m.txt", "\u202egpj.exe", "a\u2066b", "line\u2028end", "\x85"])
def test_a_safe_name_shows_as_it_is(name: str) -> None:
    """Nothing in it is obeyed by a terminal, or turns the order of its letters."""
    assert safe_name(name).isprintable()
    assert safe_name(name) != name


def gzipped_response(body: bytes, **headers: str) -> bytes:
    """Respond with a compressed body, though the client never asks for one."""
    return http_response(200, body, Content_Encoding="gzip", **headers)


async def test_a_compressed_download_is_unpacked(tmp_path: Path) -> None:
    """Storages send an object as it was stored, also in several members and with padding at its end."""
    packed = gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]) + b"\0" * 100

    async def handler(_: RawRequest) -> bytes:
        return gzipped_response(packed)

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert (await client.artifacts.download(ID, "a", tmp_path)).read_bytes() == DATA
        assert await client.artifacts.read(ID, "a") == DATA


async def test_a_compressed_download_that_ends_before_its_trailer_is_not_whole(tmp_path: Path) -> None:
    """The length fits what was sent, so only the compression shows that the end is missing."""

    async def handler(_: RawRequest) -> bytes:
        return gzipped_response(gzip.compress(DATA)[:-9])

    async with RawServer(handler) as server, client_of(server.url, retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(errors.TransportError, match="ends too early"):
            await client.artifacts.download(ID, "a", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"no gzip", b"\x1f\x8b\x08no gzip either"])
async def test_a_download_that_cannot_be_unpacked_is_an_error(body: bytes) -> None:
    """Its bytes are never given out as they came."""

    async def handler(_: RawRequest) -> bytes:
        return gzipped_response(body)

    async with RawServer(handler) as server, client_of(server.url, retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(errors.TransportError, match="gzip"):
            await client.artifacts.read(ID, "a")


@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_a_download_in_an_unknown_compression_is_an_error(coding: str) -> None:
    """It was never asked for."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, b"x", Content_Encoding=coding)

    async with RawServer(handler) as server, client_of(server.url, retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(errors.TransportError, match=coding):
            await client.artifacts.read(ID, "a")


async def test_a_download_that_advances_spends_no_retries(tmp_path: Path) -> None:
    """The budget is for a service that fails, not for connections that are cut now and then."""
    policy = RetryPolicy(base_delay=0, budget=0)
    script = ScriptedDownload(*[200_000] * 10)
    async with RawServer(script) as server, client_of(server.url, retry=policy) as client:
        assert (await client.artifacts.download(ID, "a", tmp_path)).read_bytes() == DATA
    async with RawServer(ScriptedDownload(0)) as server, client_of(server.url, retry=policy) as client:
        with pytest.raises(errors.TransportError):
            await client.artifacts.download(ID, "b", tmp_path)
