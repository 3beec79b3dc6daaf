"""`/files`: announce a file, which is then uploaded to a signed URL on the other origin.

*Source*: contract §5, documented
"""

from __future__ import annotations

from pathlib import PurePosixPath

import anyio
from aiohttp import web

from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE
from rebyte_async.emulator.body import JsonObject
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import json_response, validation_error
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.files import File, StoredFile

_MAX_FILENAME = 255


async def create(state: State, exchange: Exchange) -> web.Response:
    """`POST /files`: the response has the filename to use from now on."""
    body = await exchange.body.json()
    filename = body.text("filename", max_length=_MAX_FILENAME)
    content_type = body.optional_text("contentType") or DEFAULT_TYPE
    path, file_id = PurePosixPath(filename.replace("/", "_")), state.ids.uuid()
    unique_name = f"{path.stem}-{state.ids.token('')[-8:]}{path.suffix}"
    file = File(id=file_id, filename=unique_name, content_type=content_type)
    state.files[file.id] = file
    url = state.sign_url("PUT", f"/uploads/{file.id}", file.content_type)
    return json_response({"id": file.id, "filename": file.filename, "uploadUrl": url}, 201)


async def put(state: State, exchange: Exchange) -> web.Response:
    """`PUT uploadUrl`, on the storage: needs the announced content type, and a length."""
    file = state.files[exchange.params["file_id"]]
    error = state.signer.check_upload(exchange.request)
    if error is not None:
        return error
    # Each upload has its own part file, so that two of them at once don't mix.
    part = await state.disk.write(f"{file.id}.{exchange.request_id}", exchange.body.chunks())
    path = await state.disk.path(file.id)
    await anyio.Path(part.path).replace(path)
    file.stored = StoredFile(
        id=file.id, filename=file.filename, content_type=file.content_type, size=part.size, path=path
    )
    return web.Response()


def find_attached(state: State, entry: JsonObject) -> StoredFile:
    """Return the file that a prompt names, which must be known and uploaded. GUESS(§5): the latter is required."""
    file_id, filename = entry.text("id"), entry.text("filename")
    file = state.files.get(file_id)
    if file is None or file.filename != filename:
        raise validation_error(f"files has no file {filename} with the id {file_id}.")
    if file.stored is None:
        raise validation_error(f"The file {filename} was not uploaded.")
    return file.stored


ROUTES = (Route("POST", "/v1/files", "files:write", create),)

STORAGE_ROUTES = (Route("PUT", "/uploads/{file_id}", None, put),)
