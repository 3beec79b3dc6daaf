"""Uploads."""

from __future__ import annotations

import asyncio
import io
import math
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import RetryPolicy, Timeouts, errors
from rebyte_async.types import FileRef
from support.clients import KEY, client_of
from support.golden import assert_golden
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response
from support.systems import make_pipe

DATA = bytes(range(256)) * 9_000  # 2.3 MB: more than two chunks


class Storage:
    """A server whose upload URLs are on another origin, and which keeps every upload."""

    def __init__(self, *puts: Any) -> None:
        self.puts = list(puts)
        self.names: list[dict[str, Any]] = []
        self.stored: list[RawRequest] = []
        self.created: list[dict[str, Any]] = []
        self.origin = ""

    async def api(self, request: RawRequest) -> Any:
        """Respond as the API."""
        if request.path == "/v1/files":
            self.names.append(request.json)
            number = len(self.names)
            return json_response(
                {
                    "id": f"f{number}",
                    "filename": f"{number}-{request.json['filename']}",
                    "uploadUrl": f"{self.origin}/put/{number}%2Fx?X-Signature=s3cr3t%2B{number}&a=%20",
                },
                201,
            )
        self.created.append(request.json)
        return json_response({"id": "t1", "promptId": "p1"}, 201)

    async def put(self, request: RawRequest) -> Any:
        """Respond as the storage."""
        self.stored.append(request)
        return self.puts.pop(0) if self.puts else http_response(200)


class Served:
    """A client, and the two servers that it talks to: the API and the storage."""

    def __init__(self, storage: Storage, **options: Any) -> None:
        self.storage = storage
        self.options = options

    async def __aenter__(self) -> Any:
        self.other = await RawServer(self.storage.put).__aenter__()
        self.storage.origin = self.other.origin
        self.server = await RawServer(self.storage.api).__aenter__()
        self.client = client_of(self.server.url, **self.options)
        return self.client

    async def __aexit__(self, *details: object) -> None:
        await self.client.aclose()
        await self.server.__aexit__(*details)
        await self.other.__aexit__(*details)


async def iterated(data: bytes, *, wrong: object = None) -> AsyncIterator[Any]:
    """Yield bytes in pieces, then something wrong."""
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]
    if wrong is not None:
        yield wrong


class Pipe(io.RawIOBase):
    """A binary file that can't be read again."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        return self._inner.read(size)

    def seekable(self) -> bool:
        """Say that this file can't be read again."""
        return False


class SlowFile(io.BytesIO):
    """A binary file that takes its time for every read, and gives few bytes then."""

    def read(self, _: int | None = -1) -> bytes:
        """Read the next bytes."""
        time.sleep(0.03)
        return super().read(1000)


def named_pipe(path: Path) -> Path:
    """Make a named pipe, and a thread that writes into it."""
    pipe = path.with_name("pipe")
    make_pipe(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(DATA), daemon=True).start()
    return pipe


def closed() -> io.BytesIO:
    """Make a closed file."""
    file = io.BytesIO(b"x")
    file.close()
    return file


def positioned() -> io.BytesIO:
    """Make a file whose position is after its beginning."""
    file = io.BytesIO(b"head" + DATA)
    file.seek(4)
    return file


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text path": str,
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "memoryview with gaps": lambda _: memoryview(bytes(byte for byte in DATA for _ in range(2)))[::2],
    "file": lambda path: path.open("rb"),
    "file from its position": lambda _: positioned(),
    "pipe": lambda _: Pipe(DATA),
    "named pipe": named_pipe,
    "iterable": lambda _: iterated(DATA),
}


async def test_an_upload_sends_and_reads_what_the_contract_says() -> None:
    """The requests are the contract's to the field, and the file has the id and the name that the server gave it."""
    await assert_golden(
        "create_file",
        lambda client: client.files.upload(b"name,amount\n", filename="data.csv"),
        FileRef("3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0004", "data-1.csv"),
    )


@pytest.mark.parametrize(
    "failure", [None, DROP, http_response(500), http_response(429)], ids=["well", "lost", "500", "429"]
)
@pytest.mark.parametrize("form", FORMS)
async def test_every_source_arrives_whole_also_on_a_retry(form: str, failure: Any, tmp_path: Path) -> None:
    """Every source arrives with its bytes, length and type, from its start again when an attempt fails."""
    storage = Storage(*([failure] if failure else []))
    progress: list[tuple[int, int]] = []
    path = tmp_path / "data.csv"
    path.write_bytes(DATA)
    source = FORMS[form](path)
    async with Served(storage) as client:
        ref = await client.files.upload(source, filename="data.csv", progress=lambda *at: progress.append(at))
    if isinstance(source, io.IOBase):
        assert not source.closed
        source.close()
    assert ref == FileRef("f1", "1-data.csv")
    assert storage.names == [{"filename": "data.csv", "contentType": "text/csv"}]
    assert [request.body == DATA for request in storage.stored] == [True] * (2 if failure else 1)
    assert storage.stored[-1].headers["content-type"] == "text/csv"
    assert progress[-1] == (len(DATA), len(DATA))
    assert all(done <= total == len(DATA) for done, total in progress)


async def test_a_signed_url_gets_only_the_headers_it_needs() -> None:
    """A signed URL keeps its query and gets type and length, and no API key, no own headers, no user agent."""
    storage = Storage()
    async with Served(storage, headers={"X-Private": "mine"}) as client:
        await client.files.upload(b"hello", filename="a.txt")
    (request,) = storage.stored
    assert request.target == "/put/1%2Fx?X-Signature=s3cr3t%2B1&a=%20"
    assert {name: value for name, value in request.headers.items() if name != "host"} == {
        "content-type": "text/plain",
        "content-length": "5",
    }
    assert KEY not in str(request)


async def test_a_given_media_type_is_sent() -> None:
    """A media type that is given is not guessed by the name."""
    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(b"x", filename="a.csv", content_type="text/x-notes; charset=utf-8")
    assert storage.names == [{"filename": "a.csv", "contentType": "text/x-notes; charset=utf-8"}]
    assert storage.stored[0].headers["content-type"] == "text/x-notes; charset=utf-8"


async def test_an_empty_file_is_uploaded() -> None:
    """An upload needs no content."""
    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(b"", filename="empty")
    assert storage.stored[0].headers["content-length"] == "0"
    assert storage.names == [{"filename": "empty", "contentType": "application/octet-stream"}]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux has such files")
async def test_a_generated_file_is_read_to_its_end(tmp_path: Path) -> None:
    """A file of reported size 0 is uploaded whole if it has content, and empty if it has none."""
    path = Path("/proc/self/cmdline")
    empty = tmp_path / "empty"
    storage = Storage()
    empty.touch()
    async with Served(storage) as client:
        await client.files.upload(path)
        await client.files.upload(empty)
    assert [request.body for request in storage.stored] == [path.read_bytes(), b""]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_refused_url_is_replaced_once(status: int) -> None:
    """An expired URL is replaced and the upload starts over; a second refusal is raised, without the URL's query."""
    refusal = http_response(status, b"<Error>X-Signature=s3cr3t</Error>")
    storage = Storage(refusal)
    async with Served(storage) as client:
        assert (await client.files.upload(DATA, filename="a")).id == "f2"
        assert storage.stored[1].body == DATA
        storage.puts = [refusal, refusal]
        with pytest.raises(errors.APIError) as caught:
            await client.files.upload(DATA, filename="a")
    assert len(storage.stored) == 4
    assert caught.value.method == "PUT"
    assert "?" not in caught.value.url
    assert "s3cr3t" not in str(caught.value)


async def test_an_upload_never_leaves_its_origin() -> None:
    """A redirect of an upload to another origin is refused."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(200)

    async with RawServer(handler) as elsewhere:
        storage = Storage(http_response(307, Location=elsewhere.origin))
        async with Served(storage) as client:
            with pytest.raises(errors.APIError, match="another origin"):
                await client.files.upload(b"x", filename="a")
    assert not elsewhere.requests


@pytest.mark.parametrize("url", ["http://storage.invalid/x?sig=1", "ftp://x.invalid", "not a url", ""])
async def test_a_plain_http_upload_url_is_refused(url: str) -> None:
    """An upload URL is https, or on this machine."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({"id": "f", "filename": "f", "uploadUrl": url}, 201)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError, match=r"uploadUrl|upload URL"):
            await client.files.upload(b"x", filename="a")


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (b"x", {}, "name"),
        (iterated(b"x"), {}, "name"),
        (b"x", {"filename": ""}, "name"),
        (b"x", {"filename": "x" * 256}, "255"),
        (5, {"filename": "a"}, "can't upload int"),
        (None, {"filename": "a"}, "can't upload NoneType"),
        (io.StringIO("text"), {"filename": "a"}, "'rb'"),
        (io.BufferedWriter(io.FileIO(os.devnull, "wb")), {"filename": "a"}, "'rb'"),
        (closed(), {"filename": "a"}, "closed"),
        (b"x", {"filename": "a\udcff"}, "isn't Unicode"),
        (b"x", {"filename": "a", "content_type": "text/csv\r\nX-Evil: 1"}, "content_type"),
        (b"x", {"filename": "a", "content_type": ""}, "content_type"),
        (b"x", {"filename": "a", "content_type": "text/\u00fc"}, "content_type"),
        (b"x", {"filename": "a", "content_type": 5}, "content_type"),
        ((b"x", "a"), {"filename": "a"}, "a pair must be a name and a source"),
        (b"x", {"filename": "a", "progress": 5}, "progress"),
        ("/nonexistent/file.txt", {}, "No such file"),
        ("/", {"filename": "a"}, "folder"),
    ],
)
async def test_unusable_sources_are_rejected_before_anything_is_sent(source: Any, options: Any, words: str) -> None:
    """The error names the mistake, or what to give instead."""
    storage = Storage()
    async with Served(storage) as client:
        with pytest.raises(errors.InvalidRequestError, match=words):
            await client.files.upload(source, **options)
        if "filename" not in options:
            with pytest.raises(errors.InvalidRequestError, match=words):
                await client.tasks.create("Do it", files=[source])
    assert not storage.names
    assert not storage.created


@pytest.mark.parametrize("wrong", ["text", 5, [b"x"]])
async def test_a_source_that_gives_no_bytes_is_an_invalid_request(wrong: Any) -> None:
    """The mistake is no failure of the network, and the upload is not repeated."""
    storage = Storage()
    async with Served(storage) as client:
        with pytest.raises(errors.InvalidRequestError, match=f"gave {type(wrong).__name__}"):
            await client.files.upload(iterated(b"x", wrong=wrong), filename="a")
    assert not storage.stored


async def test_a_file_that_shrinks_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    """A file that becomes shorter during its upload is an error that says so."""
    path = tmp_path / "shrinking"
    path.write_bytes(DATA)
    storage = Storage()

    def shrink(sent: int, _: int) -> None:
        if sent < len(DATA):
            os.truncate(path, 10)

    async with Served(storage) as client:
        with pytest.raises(errors.InvalidRequestError, match="shorter"):
            await client.files.upload(path, progress=shrink)


async def test_attachments_are_uploaded_before_the_create() -> None:
    """Uploaded files and pairs are attached in the given order, under the server's names."""
    storage = Storage()
    async with Served(storage) as client:
        await client.tasks.create("Do it", files=[("a.txt", b"a"), FileRef("f0", "zero"), ("b.txt", b"b")])
        await client.tasks.prompt("t1", "More", files=[("c.txt", b"c")])
    first, second = storage.created
    assert [entry["filename"][-5:] for entry in first["files"]] == ["a.txt", "zero", "b.txt"]
    assert {entry["id"] for entry in first["files"]} == {"f0", "f1", "f2"}
    assert second["files"] == [{"id": "f3", "filename": "3-c.txt"}]


async def test_the_error_of_one_upload_has_the_others() -> None:
    """When one upload fails, nothing is started, and the error has the uploads that succeeded."""
    storage = Storage()

    async def put(request: RawRequest) -> Any:
        storage.stored.append(request)
        return http_response(409) if request.body == b"bad" else http_response(200)

    storage.put = put  # type: ignore[method-assign]
    async with Served(storage) as client:
        with pytest.raises(errors.ConflictError) as caught:
            await client.tasks.create("Do it", files=[("1", b"ok"), ("2", b"ok"), ("3", b"bad"), ("4", b"ok")])
    assert len(caught.value.uploaded) in {2, 3}
    assert all(ref.id.startswith("f") for ref in caught.value.uploaded)
    assert not storage.created


async def test_several_files_are_uploaded_at_once(tmp_path: Path) -> None:
    """Four uploads at most run at once; results keep the order, and the progress is the sum of all."""
    storage = Storage()
    running = 0
    most = 0
    four = asyncio.Event()

    async def put(request: RawRequest) -> Any:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        if running == 4:
            four.set()
        await four.wait()
        await asyncio.sleep(0)
        running -= 1
        storage.stored.append(request)
        return http_response(200)

    storage.put = put  # type: ignore[method-assign]
    progress: list[tuple[int, int]] = []
    path = tmp_path / "data.csv"
    path.write_bytes(DATA)
    sources: list[Any] = [
        path,
        FileRef("f0", "zero"),
        *((f"{number}", b"xy") for number in range(8)),
        ("it", iterated(b"abc")),
    ]
    async with Served(storage) as client:
        refs = await client.files.upload_all(sources, progress=lambda *at: progress.append(at))
    assert [ref.filename.partition("-")[2] for ref in refs] == ["data.csv", "", *map(str, range(8)), "it"]
    assert refs[1] == FileRef("f0", "zero")
    assert most == 4
    every = len(DATA) + 16 + 3
    assert progress[-1] == (every, every)
    assert {total for _, total in progress} <= {0, every}


async def test_the_progress_of_several_includes_empty_files(tmp_path: Path) -> None:
    """Empty files, and iterables once they were read, have a known size, so the total doesn't stay 0."""
    (tmp_path / "empty").touch()
    (tmp_path / "data").write_bytes(DATA)
    progress: list[tuple[int, int]] = []
    async with Served(Storage()) as client:
        await client.files.upload_all([tmp_path / "empty", tmp_path / "data"], progress=lambda *at: progress.append(at))
        assert {total for _, total in progress} == {len(DATA)}
        await client.files.upload_all(
            [("none", iterated(b"")), tmp_path / "data"], progress=lambda *at: progress.append(at)
        )
        await client.files.upload_all([("none", iterated(b""))], progress=lambda *at: progress.append(at))
    assert progress[-2:] == [(len(DATA), len(DATA)), (0, 0)]


async def test_one_file_is_not_read_by_two_uploads(tmp_path: Path) -> None:
    """A file or iterator given twice is refused; a path or bytes may be given twice."""
    path = tmp_path / "data"
    storage = Storage()
    path.write_bytes(DATA)
    iterator = iterated(b"x")
    with path.open("rb") as file:
        async with Served(storage) as client:
            for twice in ([file, file], [("a", file), ("b", file)], [("a", iterator), ("b", iterator)]):
                with pytest.raises(errors.InvalidRequestError, match="given twice"):
                    await client.files.upload_all(twice)
                with pytest.raises(errors.InvalidRequestError, match="given twice"):
                    await client.tasks.create("Do it", files=twice)
            assert not storage.names
            await client.files.upload_all([path, path, ("a", DATA), ("b", DATA), file])
    assert [request.body == DATA for request in storage.stored] == [True] * 5


async def test_sources_are_read_in_threads() -> None:
    """The event loop's thread never reads a source."""
    seen: set[int] = set()

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen.add(threading.get_ident())
            return super().read(size)

    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(Watched(DATA), filename="a")
    assert storage.stored[0].body == DATA
    assert seen
    assert threading.get_ident() not in seen


async def test_a_given_file_is_not_closed() -> None:
    """A file is closed by the caller that opened it."""
    file = io.BytesIO(b"x")
    async with Served(Storage()) as client:
        await client.files.upload(file, filename="a")
    assert not file.closed


async def test_a_storage_that_reads_nothing_is_a_timeout() -> None:
    """An upload ends when no byte is sent within the read timeout, however large it is."""
    writers: list[asyncio.StreamWriter] = []

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")

    storage = Storage()
    timeouts = Timeouts(connect=0.2, read=0.2)
    policy = RetryPolicy(max_attempts=1)
    async with await asyncio.start_server(stuck, "127.0.0.1", 0, limit=1024) as stubborn:
        async with Served(storage, timeouts=timeouts, retry=policy) as client:
            storage.origin = f"http://127.0.0.1:{stubborn.sockets[0].getsockname()[1]}"
            with pytest.raises(errors.RequestTimeoutError):
                await client.files.upload(DATA * 10, filename="a")
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize(("timeouts", "size"), [(Timeouts(connect=1, read=1), 75_000), (Timeouts(read=math.inf), 1000)])
async def test_an_upload_that_advances_takes_as_long_as_it_takes(timeouts: Timeouts, size: int) -> None:
    """An upload is no timeout while its bytes keep moving, also where all of it takes longer than the timeouts."""
    storage = Storage()
    async with Served(storage, timeouts=timeouts, retry=RetryPolicy(max_attempts=1)) as client:
        await client.files.upload(SlowFile(DATA[:size]), filename="a")
    assert storage.stored[0].body == DATA[:size]


@pytest.mark.parametrize(
    "failure", [DROP, http_response(403), json_response({"hello": 1}, 201)], ids=["lost", "403", "odd"]
)
async def test_the_error_of_a_create_has_the_uploads(failure: Any) -> None:
    """The error of a create has the uploads, so that the next create needn't upload anything."""
    storage = Storage()
    inner = storage.api

    async def api(request: RawRequest) -> Any:
        return failure if request.path == "/v1/tasks" else await inner(request)

    storage.api = api  # type: ignore[method-assign]
    async with Served(storage) as client:
        with pytest.raises(errors.RebyteError) as caught:
            await client.tasks.create("Do it", files=[("a.txt", b"a")])
    assert caught.value.uploaded == (FileRef("f1", "1-a.txt"),)


async def test_a_storages_error_is_shown_without_its_signature() -> None:
    """An XML error is shown with its reason, and without anything of the signature."""
    refusal = http_response(
        403,
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
        b"<StringToSign>X-Signature=s3cr3t</StringToSign></Error>",
    )
    async with Served(Storage(refusal, refusal)) as client:
        with pytest.raises(errors.PermissionDeniedError, match="AccessDenied: Request has expired") as caught:
            await client.files.upload(b"x", filename="a")
    assert "s3cr3t" not in f"{caught.value} {caught.value.body}"


async def test_a_sources_own_error_is_raised_unchanged() -> None:
    """The error is in no group, also with several uploads at once; a note lists what was uploaded."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async with Served(Storage()) as client:
        with pytest.raises(KeyError, match="mine") as caught:
            await client.tasks.create("Do it", files=[("b", b"b"), ("a", failing())])
    assert caught.value.__notes__ == ["uploaded before that: FileRef(id='f1', filename='1-b')"]
    async with Served(Storage()) as client:
        with pytest.raises(KeyError, match="mine") as alone:
            await client.files.upload_all([("a", failing())])
    assert not hasattr(alone.value, "__notes__")


@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_source_that_has_nothing_yet_is_waited_for(buffering: int) -> None:
    """`read` returns None for a non-blocking file without bytes; that isn't its end."""
    if sys.platform == "win32":
        pytest.skip("pipes of Windows always block")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for _ in range(3):
                pipe.write(b"x" * 1000)
                threading.Event().wait(0.12)

    storage = Storage()
    thread = threading.Thread(target=write)
    with os.fdopen(reading, "rb", buffering=buffering) as file:
        async with Served(storage) as client:
            thread.start()
            await client.files.upload(file, filename="dump.sql")
    thread.join()
    assert storage.stored[0].body == b"x" * 3000


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.csv", "text/csv"),
        ("a.csv.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.json.bz2", "application/x-bzip2"),
        ("a.txt.xz", "application/x-xz"),
        ("a.html.br", "application/octet-stream"),
        ("a.csv.Z", "application/octet-stream"),
    ],
)
async def test_a_compressed_file_has_the_type_of_its_compression(name: str, media_type: str) -> None:
    """What it holds shows only when it is unpacked."""
    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(b"x", filename=name)
    assert storage.names[0]["contentType"] == media_type


@pytest.mark.parametrize("own_name", ["folder/data.csv", Path("folder/data.csv")])
async def test_a_file_has_its_own_name(own_name: object) -> None:
    """The name of a file may be a path object, as that of a member of a streamed archive is."""
    source = io.BytesIO(b"x")
    source.name = own_name
    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(source)
    assert storage.names == [{"filename": "data.csv", "contentType": "text/csv"}]


class AwaitedFile:
    """A file of a web framework, whose `read` is awaited; as an iterable it gives lines."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        return self.file.read(size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("a line may be too long")


async def test_a_file_whose_read_is_awaited_is_uploaded() -> None:
    """Uploads of web frameworks and bodies of aiohttp are such files."""
    storage = Storage()
    async with Served(storage) as client:
        await client.files.upload(AwaitedFile(DATA), filename="a.bin")
    assert storage.stored[0].body == DATA


@pytest.mark.parametrize(
    "call",
    [
        lambda client, folder: client.tasks.create("x", files=[folder]),
        lambda client, folder: client.tasks.create("x", files=[("data", str(folder))]),
        lambda client, folder: client.tasks.prompt("t1", "x", files=[str(folder)]),
        lambda client, folder: client.files.upload(folder),
        lambda client, folder: client.artifacts.upload("c1", folder),
    ],
)
async def test_a_folder_is_named_as_one(call: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    """A folder in the place of a file is refused before anything is sent, and the message says what it is."""
    async with RawServer(Storage().api) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match="it is a folder; give the files in it"):
            await call(client, tmp_path)
    assert server.requests == []
