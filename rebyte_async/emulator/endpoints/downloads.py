"""`/artifacts` on the storage origin: where signed URLs read and write the bytes of artifacts.

*Source*: contract, section 6 (guess).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rebyte_async.emulator.artifacts.download import make_download
from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE, place, write
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.storage import refuse_upload, refuse_url

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.state.workspaces import Workspace


async def get(exchange: Exchange) -> web.StreamResponse:
    """`GET` of a signed URL: the bytes."""
    workspace, name = _place(exchange)
    return refuse_url(exchange) or make_download(exchange, workspace.artifact(name))


async def put(exchange: Exchange) -> web.Response:
    """`PUT uploadUrl`: the same content type as announced, and a length."""
    workspace, name = _place(exchange)
    refusal = refuse_upload(exchange)
    if refusal is not None:
        return refusal
    content_type = exchange.request.headers.get("Content-Type", DEFAULT_TYPE)
    await place(
        exchange.state, workspace, await write(exchange.state, workspace, name, content_type, exchange.chunks())
    )
    return web.Response()


def _place(exchange: Exchange) -> tuple[Workspace, str]:
    return exchange.state.workspaces.get(exchange.params["workspace_id"]), exchange.params["filename"]


ROUTES = (
    Route("GET", "/artifacts/{workspace_id}/{filename}", None, get),
    Route("PUT", "/artifacts/{workspace_id}/{filename}", None, put),
)
