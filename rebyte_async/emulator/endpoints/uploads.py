"""`/uploads` on the storage origin: where signed URLs take the bytes of files.

*Source*: contract, section 5 (documented).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from aiohttp import web

from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.files import StoredFile
from rebyte_async.emulator.storage import refuse_upload

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.state.files import File


async def put(exchange: Exchange) -> web.Response:
    """`PUT uploadUrl`: the same content type as announced, and a length; the whole file or nothing of it is kept."""
    file = exchange.state.files.get(exchange.params["file_id"])
    refusal = refuse_upload(exchange)
    if refusal is not None:
        return refusal
    file.stored = await _store(exchange, file)
    return web.Response()


async def _store(exchange: Exchange, file: File) -> StoredFile:
    disk = exchange.state.disk
    part = await disk.write(f"{file.id}.{exchange.request_id}", exchange.chunks())
    path = await disk.path(file.id)
    await anyio.Path(part.path).replace(path)
    return StoredFile(id=file.id, filename=file.filename, content_type=file.content_type, size=part.size, path=path)


ROUTES = (Route("PUT", "/uploads/{file_id}", None, put),)
