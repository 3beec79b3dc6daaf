"""Artifacts: listed, downloaded, uploaded and deleted."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from emulator.raw_client import RawClient, until
from emulator.raw_workspace import RawWorkspace, send
from rebyte_async.emulator import ArtifactFormat, Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ODD_NAMES = [
    "charts/2026/one.png",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x\\y",
    "naïve - 报告 🎉.txt",
    "100 % #1 ?a=b&c;d.txt",
    "a%2Fb",
    'say "hi".txt',
    "upload-url",
    "...",
    "~$x'(1)*.doc",
    "x" * 300,
]


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    """An emulator that keeps its artifacts in a folder that the test can look into."""
    async with Emulator(pace=0.001, folder=tmp_path) as emulator:
        yield emulator
        emulator.check()


@pytest.fixture
async def workspace(http: RawClient) -> RawWorkspace:
    """A workspace without artifacts."""
    return await RawWorkspace.create(http)


async def test_an_upload_is_listed_and_downloaded(emulator: Emulator, workspace: RawWorkspace) -> None:
    """One request can upload several files, each with its type and its bytes."""
    response = await workspace.upload(("a.csv", b"1,2"), ("b.csv", b""))
    listed, downloaded = await workspace.call("GET"), await workspace.call("GET", "a.csv")

    assert (response.status, listed.status) == (201, 200)
    assert response.json() == listed.json()
    first, second = listed.json()["artifacts"]
    assert (first["name"], first["size"], first["contentType"]) == ("a.csv", 3, "text/csv")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["createdAt"])
    assert (second["name"], second["size"]) == ("b.csv", 0)
    assert (downloaded.status, downloaded.body) == (200, b"1,2")
    assert (downloaded.headers["Content-Type"], downloaded.headers["Content-Length"]) == ("text/csv", "3")
    assert downloaded.headers["Accept-Ranges"] == "bytes"
    assert [artifact.name for artifact in emulator.artifacts(workspace.id)] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_name_may_be_anything(emulator: Emulator, workspace: RawWorkspace, tmp_path: Path, name: str) -> None:
    """A name is returned as it was sent in every kind of upload, and the bytes stay in the emulator's folder."""
    await workspace.upload((name, b"posted"))
    (posted,) = emulator.artifacts(workspace.id)
    first = await workspace.call("GET", name)
    url = await workspace.upload_url(name)
    put = await send(workspace.http, "PUT", url, data=b"put", headers={"Content-Type": "application/octet-stream"})
    emulator.artifact_format = ArtifactFormat(redirect=302)
    redirect = await workspace.call("GET", name)
    second = await send(workspace.http, "GET", redirect.headers["Location"])
    names = await workspace.names()
    deleted = await workspace.call("DELETE", name)

    assert (first.body, put.status, second.body) == (b"posted", 200, b"put")
    assert (names, deleted.status, await workspace.names()) == ([name], 204, [])
    assert posted.path is not None
    assert posted.path.resolve().parent.parent == tmp_path


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_names_that_no_path_can_have_are_refused(workspace: RawWorkspace, name: str) -> None:
    """An upload and a signed URL refuse a name that no path can have."""
    part = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'
    posted = await workspace.send_parts(part.encode())
    minted = await workspace.call("POST", "upload-url", json={"files": [{"name": name}]})

    assert (posted.status, posted.code) == (400, "validation_error")
    assert (minted.status, minted.code) == (400, "validation_error")


async def test_a_name_is_text(workspace: RawWorkspace) -> None:
    """Half a surrogate pair is refused."""
    body = b'{"files": [{"name": "\\ud800"}]}'
    response = await workspace.call("POST", "upload-url", data=body, headers={"Content-Type": "application/json"})

    assert (response.status, response.code) == (400, "validation_error")


async def test_a_newer_artifact_replaces_an_older_one(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The name is listed once, with the new bytes and a new ETag, and its `createdAt` stays."""
    await workspace.upload(("a.csv", b"old"))
    (old,) = emulator.artifacts(workspace.id)
    first = await workspace.call("GET", "a.csv")
    await workspace.upload(("a.csv", b"newer"))
    (new,) = emulator.artifacts(workspace.id)
    second = await workspace.call("GET", "a.csv")

    assert second.body == await asyncio.to_thread(new.read) == b"newer"
    assert first.headers["ETag"] != second.headers["ETag"] == new.etag
    assert old.created_at == new.created_at < new.updated_at
    assert old.path is not None
    assert not await asyncio.to_thread(old.path.exists)


async def test_artifacts_are_deleted_one_by_one_or_all_at_once(emulator: Emulator, workspace: RawWorkspace) -> None:
    """Deleting artifacts deletes their bytes, and a missing artifact can't be deleted."""
    await workspace.upload(("a", b"1"), ("b", b"2"), ("c", b"3"))
    stored = emulator.artifacts(workspace.id)

    statuses = [(await workspace.call("DELETE", "b")).status for _ in range(2)]
    left = await workspace.names()
    everything = [(await workspace.call("DELETE")).status for _ in range(2)]

    assert (statuses, left, everything) == ([204, 404], ["a", "c"], [204, 204])
    assert await workspace.names() == []
    assert not any([artifact.path and await asyncio.to_thread(artifact.path.exists) for artifact in stored])


async def test_missing_workspaces_and_artifacts_are_not_found(workspace: RawWorkspace) -> None:
    """A name whose slash isn't encoded isn't found either."""
    await workspace.upload(("a/b", b""))
    nowhere = RawWorkspace(workspace.http, "nowhere")

    responses = [
        await nowhere.call("GET"),
        await nowhere.upload(("a", b"")),
        await nowhere.call("POST", "upload-url", json={"files": [{"name": "a"}]}),
        await workspace.call("GET", "missing"),
        await workspace.http.call("GET", f"{workspace.path}/a/b"),
    ]

    assert {(response.status, response.code) for response in responses} == {(404, "not_found")}


async def test_tasks_have_their_own_or_a_shared_workspace(
    emulator: Emulator, http: RawClient, workspace: RawWorkspace
) -> None:
    """A task has its own workspace or that of an agent computer, whose artifacts are deleted with it."""
    own = (await http.task(await http.create()))["workspaceId"]
    emulator.put_artifact(own, "mine", b"")
    emulator.put_artifact(workspace.id, "shared", b"")
    shared = (await http.task(await http.create(workspaceId=workspace.id)))["workspaceId"]

    assert shared == workspace.id
    assert await RawWorkspace(http, own).names() == ["mine"]
    assert await workspace.names() == ["shared"]
    await http.call("DELETE", f"/agent-computers/{workspace.id}")
    assert (await workspace.call("GET")).status == 404


async def test_keys_need_scopes(emulator: Emulator, workspace: RawWorkspace) -> None:
    """Reading and writing have separate scopes."""
    reader = {"API_KEY": emulator.add_key(scopes={"artifacts:read"})}

    assert (await workspace.call("GET", headers=reader)).status == 200
    assert (await workspace.call("DELETE", headers=reader)).code == "insufficient_scopes"


async def test_large_artifacts_are_streamed(emulator: Emulator, workspace: RawWorkspace) -> None:
    """Large artifacts are streamed both ways, and the log keeps only a part of the uploaded bytes."""
    size = 20 << 20
    await workspace.upload(("big", io.BytesIO(bytes(size))))
    record = emulator.log[-1]
    async with workspace.http.session.get(
        f"{emulator.url}{workspace.path}/big", headers={"API_KEY": emulator.api_key}
    ) as response:
        received = [len(chunk) async for chunk in response.content.iter_any()]

    assert (sum(received), emulator.artifacts(workspace.id)[0].size) == (size, size)
    assert len(record.body) == 1 << 20
    assert record.body_size > size


# Strictness


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_a_multipart_body_may_be_split_anywhere(emulator: Emulator, workspace: RawWorkspace, cut: int) -> None:
    """Boundaries, heads and contents are read the same, and a content may look like a boundary."""
    head = '--b\r\nContent-Disposition: form-data; name="files"; filename="{}"\r\nContent-Type: text/x\r\n\r\n'
    body = f"preamble\r\n{head.format('a')}x\r\n--c\r\n-b\r\n{head.format('b')}\r\n--b--\r\nepilogue".encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), cut):
            yield body[start : start + cut]
            await asyncio.sleep(0)

    headers = {"Content-Type": 'multipart/form-data; boundary="b"'}
    response = await workspace.call("POST", data=pieces(), headers=headers)

    assert response.status == 201
    contents = {artifact.name: artifact.read for artifact in emulator.artifacts(workspace.id)}
    assert await asyncio.to_thread(contents["a"]) == b"x\r\n--c\r\n-b"
    assert await asyncio.to_thread(contents["b"]) == b""


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="files"; filename="a.txt"', "a.txt"),
        ("form-data; name=files; filename=a.txt", "a.txt"),
        ('form-data; name="files"; filename="x"; filename*=UTF-8\'\'%e2%82%ac%20rates', "€ rates"),
        ('form-data; name="files"; filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('form-data; name="files"; filename="say \\"hi\\".txt"', 'say "hi".txt'),
        ('form-data; name="files"; filename="100%25.txt"', "100%25.txt"),
        ('form-data; filename="a;name=b"; name="files"', "a;name=b"),
    ],
)
async def test_filenames_are_read_in_every_usual_form(workspace: RawWorkspace, disposition: str, name: str) -> None:
    """Filenames are read as RFC 7578 and as browsers write them; other percent signs stay as they are."""
    await workspace.send_parts(f"--b\r\ncontent-disposition: {disposition}\r\n\r\nx\r\n--b--\r\n".encode())

    assert await workspace.names() == [name]


_FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\n" + b"x" * (32 << 10),
        _FILE.replace(b"\r\n\r\n", b"\r\nContent-Type: text/x\ny\r\n\r\n") + b"\r\n--b--\r\n",
        _FILE,
        _FILE + b"\r\n--b\r\n",
        _FILE + b"\r\n--bad\r\n",
    ],
)
async def test_a_malformed_upload_stores_nothing(workspace: RawWorkspace, tmp_path: Path, body: bytes) -> None:
    """Not even the files before the malformed part are stored."""
    response = await workspace.send_parts(body)

    assert (response.status, response.code) == (400, "validation_error")
    assert await workspace.names() == []
    assert await asyncio.to_thread(_files, tmp_path) == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/mixed; boundary=b"])
async def test_an_upload_must_be_multipart(workspace: RawWorkspace, content_type: str) -> None:
    """Any other content type is refused."""
    response = await workspace.call("POST", data=_FILE + b"\r\n--b--", headers={"Content-Type": content_type})

    assert (response.status, response.code) == (400, "validation_error")


async def test_a_broken_upload_stores_nothing(emulator: Emulator, workspace: RawWorkspace, tmp_path: Path) -> None:
    """A connection that is lost in the second file discards the first one as well."""
    url = URL(emulator.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /v1{workspace.path} HTTP/1.1\r\nHost: x\r\nAPI_KEY: {emulator.api_key}\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + _FILE + b"\r\n" + _FILE)
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async def ended() -> bool:
        return [record.ended for record in emulator.log.select("POST", workspace.path)] == [True]

    await until(ended)
    assert await workspace.names() == []
    assert await asyncio.to_thread(_files, tmp_path) == []


# Signed URLs


async def test_an_upload_url_accepts_one_file(emulator: Emulator, workspace: RawWorkspace) -> None:
    """An upload URL is on the other origin, needs no key, and accepts only the announced content type."""
    url = await workspace.upload_url("a.csv", contentType="text/csv")
    wrong = await send(workspace.http, "PUT", url, data=b"x", headers={"Content-Type": "text/plain"})
    right = await send(workspace.http, "PUT", url, data=b"1,2", headers={"Content-Type": "text/csv"})
    keyed = await send(
        workspace.http, "PUT", url, data=b"x", headers={"Content-Type": "text/csv", "API_KEY": emulator.api_key}
    )

    assert url.startswith(emulator.storage_url)
    assert (wrong.status, right.status, keyed.status) == (403, 200, 400)
    (artifact,) = emulator.artifacts(workspace.id)
    assert (artifact.name, artifact.content_type, artifact.size) == ("a.csv", "text/csv", 3)


@pytest.mark.parametrize("files", ["null", "[]", "{}", '["a"]', "[{}]", '[{"name": "a", "contentType": 1}]'])
async def test_upload_urls_need_files(workspace: RawWorkspace, files: str) -> None:
    """There must be at least one file, each with a name."""
    body, headers = f'{{"files": {files}}}', {"Content-Type": "application/json"}
    response = await workspace.call("POST", "upload-url", data=body, headers=headers)

    assert (response.status, response.code) == (400, "validation_error")


async def test_signed_urls_expire(emulator: Emulator, workspace: RawWorkspace) -> None:
    """URLs of both directions expire, and none works for the other direction."""
    emulator.artifact_format = ArtifactFormat(redirect=307)
    emulator.put_artifact(workspace.id, "a", b"x")
    up = await workspace.upload_url("a", contentType="text/csv")
    down = (await workspace.call("GET", "a")).headers["Location"]
    crossed = [await send(workspace.http, "GET", up), await send(workspace.http, "PUT", down, data=b"x")]

    emulator.expire_urls()
    expired = [
        await send(workspace.http, "GET", down),
        await send(workspace.http, "PUT", up, data=b"x", headers={"Content-Type": "text/csv"}),
    ]

    assert [response.status for response in (*crossed, *expired)] == [403] * 4
    assert all(b"expired" in response.body for response in expired)


@pytest.mark.parametrize(("given", "equivalent"), [("%3a", ":"), ("%28", "("), ("%2f", "%2F"), ("%2f", "/")])
async def test_a_signed_download_is_asked_for_letter_by_letter(
    emulator: Emulator, workspace: RawWorkspace, given: str, equivalent: str
) -> None:
    """A storage refuses a path with other escapes, and takes the one that it gave."""
    emulator.artifact_format = ArtifactFormat(redirect=302)
    emulator.put_artifact(workspace.id, "a:b/(1).txt", b"x")
    location = (await workspace.call("GET", "a:b/(1).txt")).headers["Location"]
    path, mark, query = location.partition("?")
    assert given in path

    rewritten = await workspace.http.call("GET", path.replace(given, equivalent) + mark + query, headers={})
    response = await workspace.http.call("GET", location, headers={})

    assert rewritten.status in (403, 404)  # with a slash it is another path
    assert (response.status, response.body) == (200, b"x")


# The form of responses


@pytest.mark.parametrize("field", ["artifacts", "data", "files", None])
async def test_a_list_can_be_in_any_field(emulator: Emulator, workspace: RawWorkspace, field: Any) -> None:
    """The list can be in any field or a bare array, and the field for the names of artifacts can be set."""
    emulator.artifact_format = ArtifactFormat(items=field, name="filename", details=False, upload_status=200)
    response = await workspace.upload(("a", b""))
    listed = (await workspace.call("GET")).json()

    assert (response.status, response.json()) == (200, listed)
    assert (listed if field is None else listed[field]) == [{"filename": "a"}]


@pytest.mark.parametrize("field", ["urls", "data", "files"])
async def test_upload_urls_can_be_in_any_field(emulator: Emulator, workspace: RawWorkspace, field: Any) -> None:
    """Upload URLs come in the order of the files, in any field."""
    emulator.artifact_format = ArtifactFormat(urls=field)

    response = await workspace.call("POST", "upload-url", json={"files": [{"name": "a"}, {"name": "b"}]})

    assert [url["name"] for url in response.json()[field]] == ["a", "b"]


async def test_an_artifact_can_have_a_url(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The URL is signed, and leads to the bytes."""
    emulator.artifact_format = ArtifactFormat(url=True)
    emulator.put_artifact(workspace.id, "a", "text")

    (item,) = (await workspace.call("GET")).json()["artifacts"]

    assert (await send(workspace.http, "GET", item["url"])).body == b"text"


async def test_a_format_lasts_until_the_emulator_is_cleared(emulator: Emulator) -> None:
    """After `clear`, the initial format is used again."""
    emulator.artifact_format = ArtifactFormat(items=None)
    emulator.clear()

    assert emulator.artifact_format == ArtifactFormat()


# Ranges


@pytest.mark.parametrize(
    ("header", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=9-99", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-4", 416, None, "bytes */10"),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("items=0-1", 200, b"0123456789", None),
        ("bytes=x-", 200, b"0123456789", None),
    ],
)
@pytest.mark.parametrize("redirect", [None, 302])
async def test_a_range_can_be_requested(
    emulator: Emulator,
    workspace: RawWorkspace,
    redirect: int | None,
    header: str,
    status: int,
    body: bytes | None,
    content_range: str | None,
) -> None:
    """A range gets a 206 with its place, an empty one a 416, and an invalid header the whole, from both origins."""
    emulator.artifact_format = ArtifactFormat(redirect=redirect)
    emulator.put_artifact(workspace.id, "a", b"0123456789")
    response = await workspace.call("GET", "a", headers={"Range": header})
    if redirect is not None:
        response = await send(workspace.http, "GET", response.headers["Location"], headers={"Range": header})

    assert (response.status, response.headers.get("Content-Range")) == (status, content_range)
    assert response.headers["ETag"] == emulator.artifacts(workspace.id)[0].etag
    if body is not None:
        assert (response.body, int(response.headers["Content-Length"])) == (body, len(body))
    else:
        assert response.code == "range_not_satisfiable"


async def test_if_range_is_heeded(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The range is sent if the ETag is the current one, otherwise the whole artifact."""
    await workspace.upload(("a", b"0123456789"))
    etag = emulator.artifacts(workspace.id)[0].etag
    headers = {"Range": "bytes=8-", "If-Range": etag}
    same = await workspace.call("GET", "a", headers=headers)
    await workspace.upload(("a", b"other"))
    other = await workspace.call("GET", "a", headers=headers)

    assert (same.status, same.body) == (206, b"89")
    assert (other.status, other.body) == (200, b"other")


async def test_an_empty_artifact_has_no_ranges(emulator: Emulator, workspace: RawWorkspace) -> None:
    """The whole is empty, and every range gets a 416."""
    emulator.put_artifact(workspace.id, "empty", b"")

    whole = await workspace.call("GET", "empty")
    part = await workspace.call("GET", "empty", headers={"Range": "bytes=0-"})

    assert (whole.status, whole.body, whole.headers["Content-Length"]) == (200, b"", "0")
    assert part.status == 416


# What tests can do


def test_artifacts_can_be_put_and_seen_from_any_thread() -> None:
    """Nothing needs awaiting, and the workspace needn't exist."""
    with Emulator() as emulator:
        artifact = emulator.put_artifact("any", "a/b", "text", content_type="text/plain")

        assert emulator.artifacts("any") == (artifact,)
        assert (artifact.read(), artifact.size, artifact.workspace_id) == (b"text", 4, "any")
        assert isinstance(artifact.created_at, datetime)
        assert emulator.artifacts("other") == ()
        emulator.clear()
        assert emulator.artifacts("any") == ()


async def test_artifacts_can_be_kept_in_a_folder(tmp_path: Path) -> None:
    """The files in the folder end with the artifacts' names, as far as the disk allows."""
    async with Emulator(folder=tmp_path) as emulator, aiohttp.ClientSession() as session:
        workspace = await RawWorkspace.create(RawClient(emulator, session))
        await workspace.upload(("charts/Q1.png", b"x"))

    (path,) = await asyncio.to_thread(_files, tmp_path)
    assert path.name.endswith("charts_Q1.png")
