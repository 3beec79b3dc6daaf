"""`/uploads` on the storage origin: where signed URLs take the bytes of files.

*Source*: contract, section 5 (documented; the errors are those that such storages have).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from aiohttp import web

from rebyte_async.emulator.router import Route
from rebyte_async.emulator.signer import BadSignature
from rebyte_async.emulator.state.files import StoredFile

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.state.files import File

_ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


async def put(call: Call) -> web.Response:
    """`PUT uploadUrl`: the same content type as announced, and a length; the whole file or nothing of it is kept."""
    file, request = call.world.files.get(call.params["file_id"]), call.request
    try:
        call.world.signer.check("PUT", request.url, request.headers.get("Content-Type", ""))
    except BadSignature as error:
        return _refuse(403, "AccessDenied", str(error))
    if request.content_length is None:
        return _refuse(411, "MissingContentLength", "A Content-Length header is required.")
    file.stored = await _store(call, file)
    return web.Response()


async def _store(call: Call, file: File) -> StoredFile:
    path, part = await call.world.disk.path(file.id), await call.world.disk.path(f"{file.id}.{call.request_id}")
    size = await _write(call, part)
    await anyio.Path(part).replace(path)
    return StoredFile(id=file.id, filename=file.filename, content_type=file.content_type, size=size, path=path)


async def _write(call: Call, path: Path) -> int:
    size = 0
    async with await anyio.open_file(path, "wb") as target:
        async for chunk in call.chunks():
            size += await target.write(chunk)
    return size


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.Response(text=_ERROR.format(code=code, message=message), status=status, content_type="application/xml")


ROUTES = (Route("PUT", "/uploads/{file_id}", None, put),)
