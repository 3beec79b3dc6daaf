"""`/files`: announce a file, to be uploaded to a signed URL on another origin.

*Source*: contract, section 5 (documented).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.files import File, unique_name

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.files import StoredFile

_LONGEST_FILENAME = 255
_DEFAULT_TYPE = "application/octet-stream"


async def create(exchange: Exchange) -> web.Response:
    """`POST /files`: the filename that it answers is the one to use."""
    body, state = await exchange.body(), exchange.state
    file = _announced(state, body)
    state.files.add(file)
    url = state.signer.sign("PUT", f"{state.origins['storage']}/uploads/{file.id}", file.content_type)
    return json_response({"id": file.id, "filename": file.filename, "uploadUrl": url}, 201)


def attached(state: State, entry: Body) -> StoredFile:
    """The file that a prompt names.

    Raises:
        ApiError: It was never announced, has another name, or wasn't uploaded (that it is refused is a guess).
    """
    file_id, filename = entry.text("id"), entry.text("filename")
    file = state.files.find(file_id)
    if file is None or file.filename != filename:
        raise validation_error(f"files has no file {filename} with the id {file_id}.")
    if file.stored is None:
        raise validation_error(f"The file {filename} was not uploaded.")
    return file.stored


def _announced(state: State, body: Body) -> File:
    filename = body.text("filename", longest=_LONGEST_FILENAME)
    content_type = body.optional_text("contentType") or _DEFAULT_TYPE
    return File(
        number=state.files.next_number(),
        id=state.ids.uuid(),
        filename=unique_name(filename, state.ids.token("")[-8:]),
        content_type=content_type,
    )


ROUTES = (Route("POST", "/v1/files", "files:write", create),)
