"""Files: announced, uploaded to a signed URL, and attached to tasks."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from emulator.raw_client import RawClient
from rebyte_async.emulator import Emulator, Match, Status, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from emulator.raw_client import Reply
    from rebyte_async.emulator import Step, Turn


async def _announce(http: RawClient, filename: str = "spec.md", **fields: Any) -> Any:
    reply = await http.call("POST", "/files", json={"filename": filename, **fields})
    assert reply.status == 201
    return reply.json()


async def _put(http: RawClient, url: str, data: Any = b"# Spec", content_type: str = "text/markdown") -> Reply:
    return await http.call("PUT", url, data=data, headers={"Content-Type": content_type})


async def test_a_file_is_announced_with_a_url_on_another_origin(emulator: Emulator, http: RawClient) -> None:
    """The filename that comes back is unique and keeps its ending."""
    first, second = await _announce(http), await _announce(http)

    assert set(first) == {"id", "filename", "uploadUrl"}
    assert first["filename"] != second["filename"]
    assert first["filename"].startswith("spec-")
    assert first["filename"].endswith(".md")
    assert str(URL(first["uploadUrl"]).origin()) == emulator.storage_url
    assert URL(first["uploadUrl"]).origin() != URL(emulator.url).origin()


async def test_an_uploaded_file_is_on_disk(emulator: Emulator, http: RawClient) -> None:
    """Its bytes, and what is known of it; a second PUT replaces it."""
    file = await _announce(http, contentType="text/markdown")

    first = await _put(http, file["uploadUrl"])
    second = await _put(http, file["uploadUrl"], b"# Better")

    (stored,) = emulator.files
    assert (first.status, second.status) == (200, 200)
    assert (stored.id, stored.filename, stored.content_type) == (file["id"], file["filename"], "text/markdown")
    assert (await asyncio.to_thread(stored.path.read_bytes), stored.size) == (b"# Better", 8)


async def test_a_large_file_flows_to_the_disk(emulator: Emulator, http: RawClient) -> None:
    """Its size is in the log, its bytes are there only in part."""
    file = await _announce(http)

    reply = await _put(http, file["uploadUrl"], io.BytesIO(bytes(20 << 20)), "application/octet-stream")

    assert (reply.status, emulator.files[0].size) == (200, 20 << 20)
    assert (len(emulator.log[-1].body), emulator.log[-1].body_size) == (1 << 20, 20 << 20)


@pytest.mark.parametrize(
    "body", [{}, {"filename": ""}, {"filename": "x" * 256}, {"filename": 1}, {"filename": "x", "contentType": 1}]
)
async def test_a_file_that_is_not_as_it_must_be_is_refused(http: RawClient, body: Any) -> None:
    """A filename is required, and has at most 255 characters."""
    reply = await http.call("POST", "/files", json=body)

    assert (reply.status, reply.code) == (400, "validation_error")


@pytest.mark.parametrize("content_type", ["text/plain", "text/markdown; charset=utf-8"])
async def test_an_upload_has_the_announced_type(emulator: Emulator, http: RawClient, content_type: str) -> None:
    """Any other is 403, and nothing is kept."""
    file = await _announce(http, contentType="text/markdown")

    reply = await _put(http, file["uploadUrl"], content_type=content_type)

    assert (reply.status, reply.headers["Content-Type"]) == (403, "application/xml; charset=utf-8")
    assert emulator.files == ()


@pytest.mark.parametrize("change", [{"signature": "0"}, {"expires": "9999999999"}, {"serial": "7"}])
async def test_a_signature_is_checked(http: RawClient, change: dict[str, str]) -> None:
    """A URL that was changed is 403, and so is one of another file."""
    file, other = await _announce(http), await _announce(http)
    url = URL(file["uploadUrl"])

    changed = await _put(http, str(url.update_query(change)), content_type="application/octet-stream")
    moved = await _put(http, str(url.with_path(f"/uploads/{other['id']}", keep_query=True)))

    assert (changed.status, moved.status) == (403, 403)


async def test_a_signed_url_expires(emulator: Emulator, http: RawClient) -> None:
    """At a test's word for those handed out so far; a new one works."""
    old = await _announce(http, contentType="text/markdown")
    emulator.expire_urls()
    new = await _announce(http, contentType="text/markdown")

    expired, fine = await _put(http, old["uploadUrl"]), await _put(http, new["uploadUrl"])

    assert (expired.status, fine.status) == (403, 200)
    assert b"expired" in expired.body


async def test_a_signed_url_expires_in_time() -> None:
    """After the seconds that the emulator was told."""
    async with Emulator(url_lifetime=0) as emulator, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        file = await _announce(http, contentType="text/markdown")

        assert (await _put(http, file["uploadUrl"])).status == 403


async def test_no_key_may_come_to_the_storage(emulator: Emulator, http: RawClient) -> None:
    """A client that sends it there is refused, whatever the signature says."""
    file = await _announce(http, contentType="text/markdown")
    headers = {"Content-Type": "text/markdown", "API_KEY": emulator.api_key}

    reply = await http.call("PUT", file["uploadUrl"], data=b"x", headers=headers)

    assert (reply.status, reply.code) == (400, "validation_error")


async def test_the_storage_is_no_api(emulator: Emulator, http: RawClient) -> None:
    """Its origin answers the API's requests only after a redirect."""
    reply = await http.call("GET", f"{emulator.storage_url}/v1/tasks", headers={})

    assert (reply.status, reply.code) == (401, "missing_api_key")


async def test_an_upload_says_how_long_it_is(http: RawClient) -> None:
    """Without a Content-Length it is 411, as at such storages."""
    file = await _announce(http)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    reply = await _put(http, file["uploadUrl"], chunks(), "application/octet-stream")

    assert reply.status == 411


async def test_a_broken_upload_leaves_nothing(emulator: Emulator, http: RawClient) -> None:
    """Half a file is no file, and the URL works once more."""
    file = await _announce(http)
    url = URL(file["uploadUrl"])
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    writer.write(f"{head}Content-Type: application/octet-stream\r\n\r\nhalf".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    reply = await _put(http, file["uploadUrl"], b"whole", "application/octet-stream")

    assert (reply.status, emulator.files[0].size) == (200, 5)


async def test_files_are_attached_to_tasks(emulator: Emulator, http: RawClient) -> None:
    """By id and by the name that came back, for a task and for a further prompt."""

    def names(turn: Turn) -> Step:
        return text(" ".join(turn.files))

    emulator.script(names, times=None)
    file = await _announce(http, contentType="text/markdown")
    await _put(http, file["uploadUrl"])
    files = [{"id": file["id"], "filename": file["filename"]}]

    task_id = await http.create(files=files)
    first = await http.texts(task_id)
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "y", "files": files})
    second = await http.texts(task_id)

    assert first == second == [file["filename"]]


async def test_a_file_that_is_not_there_cannot_be_attached(http: RawClient) -> None:
    """Neither one that nobody announced, nor under its old name, nor before its upload."""
    file = await _announce(http, contentType="text/markdown")

    async def attach(file_id: str, filename: str) -> int:
        files = [{"id": file_id, "filename": filename}]
        return (await http.call("POST", "/tasks", json={"prompt": "x", "files": files})).status

    early = await attach(file["id"], file["filename"])
    await _put(http, file["uploadUrl"])

    assert early == 400
    assert await attach("nobody", file["filename"]) == 400
    assert await attach(file["id"], "spec.md") == 400
    assert await attach(file["id"], file["filename"]) == 201


async def test_faults_are_for_uploads_too(emulator: Emulator, http: RawClient) -> None:
    """The storage can fail as the API can."""
    file = await _announce(http, contentType="text/markdown")
    emulator.faults.add(Status(503), Match("PUT", "/uploads/.*"))

    statuses = [(await _put(http, file["uploadUrl"])).status for _ in range(2)]

    assert statuses == [503, 200]


async def test_uploads_can_be_kept_in_a_folder(tmp_path: Path) -> None:
    """A folder that was given stays, with what is in it; a temporary one goes."""
    for folder in (tmp_path, None):
        async with Emulator(folder=folder) as emulator, aiohttp.ClientSession() as session:
            http = RawClient(emulator, session)
            file = await _announce(http, contentType="text/markdown")
            await _put(http, file["uploadUrl"])
            (stored,) = emulator.files
        assert await asyncio.to_thread(stored.path.exists) == (folder is not None)
