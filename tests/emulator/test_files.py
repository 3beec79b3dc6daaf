"""Files: announced, uploaded to a signed URL, and attached to tasks."""

from __future__ import annotations

import asyncio
import io
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from emulator.raw_client import RawClient
from rebyte_async.emulator import Emulator, Match, Status, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from emulator.raw_client import Response
    from rebyte_async.emulator import Step, Turn


async def _announce(http: RawClient, filename: str = "spec.md", **fields: Any) -> Any:
    response = await http.call("POST", "/files", json={"filename": filename, **fields})
    assert response.status == 201
    return response.json()


async def _put(http: RawClient, url: str, data: Any = b"# Spec", content_type: str = "text/markdown") -> Response:
    return await http.call("PUT", url, data=data, headers={"Content-Type": content_type})


async def test_a_file_is_announced_with_a_url_on_another_origin(emulator: Emulator, http: RawClient) -> None:
    """The returned filename is unique and keeps its ending."""
    first, second = await _announce(http), await _announce(http)

    assert set(first) == {"id", "filename", "uploadUrl"}
    assert first["filename"] != second["filename"]
    assert first["filename"].startswith("spec-")
    assert first["filename"].endswith(".md")
    assert str(URL(first["uploadUrl"]).origin()) == emulator.storage_url
    assert URL(first["uploadUrl"]).origin() != URL(emulator.url).origin()


async def test_an_uploaded_file_is_on_the_disk(emulator: Emulator, http: RawClient) -> None:
    """The emulator shows its bytes and its facts, and a second PUT replaces it."""
    file = await _announce(http, contentType="text/markdown")

    first = await _put(http, file["uploadUrl"])
    second = await _put(http, file["uploadUrl"], b"# Better")

    (stored,) = emulator.files
    assert (first.status, second.status) == (200, 200)
    assert (stored.id, stored.filename, stored.content_type) == (file["id"], file["filename"], "text/markdown")
    assert (await asyncio.to_thread(stored.path.read_bytes), stored.size) == (b"# Better", 8)


async def test_a_large_file_is_streamed_to_the_disk(emulator: Emulator, http: RawClient) -> None:
    """The log has its size, and only a part of its bytes."""
    file = await _announce(http)

    response = await _put(http, file["uploadUrl"], io.BytesIO(bytes(20 << 20)), "application/octet-stream")

    assert (response.status, emulator.files[0].size) == (200, 20 << 20)
    assert (len(emulator.log[-1].body), emulator.log[-1].body_size) == (1 << 20, 20 << 20)


@pytest.mark.parametrize(
    "body", [{}, {"filename": ""}, {"filename": "x" * 256}, {"filename": 1}, {"filename": "x", "contentType": 1}]
)
async def test_invalid_files_are_refused(http: RawClient, body: Any) -> None:
    """A filename is required, and has at most 255 characters."""
    response = await http.call("POST", "/files", json=body)

    assert (response.status, response.code) == (400, "validation_error")


@pytest.mark.parametrize("content_type", ["text/plain", "text/markdown; charset=utf-8"])
async def test_an_upload_must_have_the_announced_type(emulator: Emulator, http: RawClient, content_type: str) -> None:
    """Any other type gets a 403, and nothing is stored."""
    file = await _announce(http, contentType="text/markdown")

    response = await _put(http, file["uploadUrl"], content_type=content_type)

    assert (response.status, response.headers["Content-Type"]) == (403, "application/xml; charset=utf-8")
    assert emulator.files == ()


@pytest.mark.parametrize(
    "change", [r"signature=.", r"expires=\d", r"serial=\d", "%7E", "%2C", "%2f", "%c3", "%27", "\\+", r"\("]
)
async def test_a_signature_is_checked(http: RawClient, change: str) -> None:
    """A URL that differs in one letter gets a 403, and the storage says so in its own form."""
    file = await _announce(http, contentType="text/markdown")
    changed, count = re.subn(change, lambda found: found[0][:-1] + "_", file["uploadUrl"])
    assert count == 1

    response = await _put(http, changed)

    assert (response.status, response.headers["Content-Type"]) == (403, "application/xml; charset=utf-8")
    assert b"<Code>SignatureDoesNotMatch</Code>" in response.body


async def test_a_signature_is_for_one_file(http: RawClient) -> None:
    """The query of one URL doesn't authorize the path of another."""
    file, other = await _announce(http), await _announce(http)
    mixed = other["uploadUrl"].partition("?")[0] + "?" + file["uploadUrl"].partition("?")[2]

    assert (await _put(http, mixed, content_type="application/octet-stream")).status == 403


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda url: str(URL(url)),  # yarl spells escapes in its own way
        lambda url: url.replace("%2f", "%2F"),
        lambda url: url.replace("%2d", "-"),
        lambda url: url.replace("%7E", "~"),
        lambda url: url.replace("%2C", ","),
        lambda url: url.replace("+", "%20"),
        lambda url: url.replace("'", "%27").replace("(", "%28"),
    ],
)
async def test_a_signed_url_is_used_letter_by_letter(http: RawClient, rewrite: Callable[[str], str]) -> None:
    """An equivalent URL with other escapes gets a 403; the URL as it was given then works."""
    file = await _announce(http, contentType="text/markdown")
    assert rewrite(file["uploadUrl"]) != file["uploadUrl"]

    rewritten = await _put(http, rewrite(file["uploadUrl"]))
    given = await _put(http, file["uploadUrl"])

    assert (rewritten.status, given.status) == (403, 200)


async def test_signed_urls_can_be_expired(emulator: Emulator, http: RawClient) -> None:
    """`expire_urls` is for those issued so far; a new one works."""
    old = await _announce(http, contentType="text/markdown")
    emulator.expire_urls()
    new = await _announce(http, contentType="text/markdown")

    expired, fine = await _put(http, old["uploadUrl"]), await _put(http, new["uploadUrl"])

    assert (expired.status, fine.status) == (403, 200)
    assert b"expired" in expired.body


async def test_a_signed_url_expires_in_time() -> None:
    """A signed URL expires after `url_lifetime` seconds."""
    async with Emulator(url_lifetime=0) as emulator, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        file = await _announce(http, contentType="text/markdown")

        assert (await _put(http, file["uploadUrl"])).status == 403


async def test_no_key_may_come_to_the_storage(emulator: Emulator, http: RawClient) -> None:
    """A client that sends its key there is refused, even with a valid signature."""
    file = await _announce(http, contentType="text/markdown")
    headers = {"Content-Type": "text/markdown", "API_KEY": emulator.api_key}

    response = await http.call("PUT", file["uploadUrl"], data=b"x", headers=headers)

    assert (response.status, response.code) == (400, "validation_error")


async def test_the_storage_is_no_api(emulator: Emulator, http: RawClient) -> None:
    """The storage serves the API's requests only after a redirect."""
    response = await http.call("GET", f"{emulator.storage_url}/v1/tasks", headers={})

    assert (response.status, response.code) == (401, "missing_api_key")


async def test_an_upload_must_declare_its_length(http: RawClient) -> None:
    """Without a Content-Length it gets a 411, as from such storages."""
    file = await _announce(http)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    response = await _put(http, file["uploadUrl"], chunks(), "application/octet-stream")

    assert response.status == 411


async def test_a_broken_upload_stores_nothing(emulator: Emulator, http: RawClient) -> None:
    """The URL works once more afterwards."""
    file = await _announce(http)
    url = URL(file["uploadUrl"], encoded=True)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    writer.write(f"{head}Content-Type: application/octet-stream\r\n\r\nhalf".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    response = await _put(http, file["uploadUrl"], b"whole", "application/octet-stream")

    assert (response.status, emulator.files[0].size) == (200, 5)


async def test_files_are_attached_to_tasks(emulator: Emulator, http: RawClient) -> None:
    """Files are attached by id and returned filename, to a task and to a further prompt."""

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


async def test_missing_files_cannot_be_attached(http: RawClient) -> None:
    """A file can't be attached if it is unknown, named differently, or not uploaded."""
    file = await _announce(http, contentType="text/markdown")

    async def attach(file_id: str, filename: str) -> int:
        files = [{"id": file_id, "filename": filename}]
        return (await http.call("POST", "/tasks", json={"prompt": "x", "files": files})).status

    early = await attach(file["id"], file["filename"])
    await _put(http, file["uploadUrl"])

    assert early == 400
    assert await attach("unknown", file["filename"]) == 400
    assert await attach(file["id"], "spec.md") == 400
    assert await attach(file["id"], file["filename"]) == 201


async def test_faults_work_for_uploads(emulator: Emulator, http: RawClient) -> None:
    """The storage can fail as the API can."""
    file = await _announce(http, contentType="text/markdown")
    emulator.faults.add(Status(503), Match("PUT", "/uploads/.*"))

    statuses = [(await _put(http, file["uploadUrl"])).status for _ in range(2)]

    assert statuses == [503, 200]


async def test_uploads_can_be_kept_in_a_folder(tmp_path: Path) -> None:
    """A given folder stays with its content; a temporary one is removed."""
    for folder in (tmp_path, None):
        async with Emulator(folder=folder) as emulator, aiohttp.ClientSession() as session:
            http = RawClient(emulator, session)
            file = await _announce(http, contentType="text/markdown")
            await _put(http, file["uploadUrl"])
            (stored,) = emulator.files
        assert await asyncio.to_thread(stored.path.exists) == (folder is not None)
