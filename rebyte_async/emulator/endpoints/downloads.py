"""`/artifacts` on the storage origin: where signed URLs read and write the bytes of artifacts.

*Source*: contract, section 6 (guess).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rebyte_async.emulator.artifacts.download import make_download
from rebyte_async.emulator.artifacts.keep import DEFAULT_TYPE, place, write
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.storage import refuse_upload, refuse_url

if TYPE_CHECKING:
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.state.workspaces import Workspace


async def get(call: Call) -> web.StreamResponse:
    """`GET` of a signed URL: the bytes."""
    workspace, name = _place(call)
    return refuse_url(call) or make_download(call, workspace.artifact(name))


async def put(call: Call) -> web.Response:
    """`PUT uploadUrl`: the same content type as announced, and a length."""
    workspace, name = _place(call)
    refusal = refuse_upload(call)
    if refusal is not None:
        return refusal
    content_type = call.request.headers.get("Content-Type", DEFAULT_TYPE)
    await place(call.world, workspace, await write(call.world, workspace, name, content_type, call.chunks()))
    return web.Response()


def _place(call: Call) -> tuple[Workspace, str]:
    return call.world.workspaces.get(call.params["workspace_id"]), call.params["filename"]


ROUTES = (
    Route("GET", "/artifacts/{workspace_id}/{filename}", None, get),
    Route("PUT", "/artifacts/{workspace_id}/{filename}", None, put),
)
