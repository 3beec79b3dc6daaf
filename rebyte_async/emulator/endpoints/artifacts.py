"""`/workspaces/:id/artifacts`: list, download, upload and delete the artifacts of a workspace.

*Source*: contract, section 6 (documented that they exist; all shapes are guesses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from rebyte_async.emulator.artifacts.download import make_download
from rebyte_async.emulator.artifacts.multipart import Multipart
from rebyte_async.emulator.artifacts.names import checked_name, checked_type, segment
from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE, discard, place, write
from rebyte_async.emulator.clock import timestamp
from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.responses import empty_response, json_response
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from rebyte_async.emulator.artifacts.multipart import Part
    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.artifacts import StoredArtifact
    from rebyte_async.emulator.state.workspaces import Workspace


async def list_artifacts(exchange: Exchange) -> web.Response:
    """`GET /workspaces/:id/artifacts`: all of them, the oldest name first."""
    return _answer_items(exchange, list(_workspace(exchange).artifacts.values()))


async def get(exchange: Exchange) -> web.StreamResponse:
    """`GET /workspaces/:id/artifacts/:filename`: the bytes, or where they are."""
    artifact, redirect = _artifact(exchange), exchange.state.artifact_format.redirect
    if redirect is None:
        return make_download(exchange, artifact)
    return web.Response(status=redirect, headers={"Location": _signed(exchange.state, artifact)})


async def upload(exchange: Exchange) -> web.Response:
    """`POST /workspaces/:id/artifacts`: the parts named `files`, all of them or none."""
    workspace, drafts = _workspace(exchange), list["StoredArtifact"]()
    try:
        async for part in Multipart.of(exchange.request.headers.get("Content-Type", ""), exchange.chunks()).parts():
            if part.name == "files":
                drafts.append(await _draft(exchange.state, workspace, part))
    except BaseException:
        for draft in drafts:
            await discard(exchange.state, draft)
        raise
    if not drafts:
        raise validation_error("files is required.")
    for draft in drafts:
        await place(exchange.state, workspace, draft)
    return _answer_items(exchange, drafts, exchange.state.artifact_format.upload_status)


async def make_upload_urls(exchange: Exchange) -> web.Response:
    """`POST /workspaces/:id/artifacts/upload-url`: a signed URL for each file, in their order."""
    workspace, body = _workspace(exchange), await exchange.body()
    urls = [_upload_url(exchange.state, workspace, file) for file in body.bodies("files")]
    if not urls:
        raise validation_error("files must have at least one file.")
    return json_response({exchange.state.artifact_format.urls: urls})


async def delete(exchange: Exchange) -> web.Response:
    """`DELETE /workspaces/:id/artifacts/:filename`."""
    artifact = _artifact(exchange)
    del _workspace(exchange).artifacts[artifact.name]
    await discard(exchange.state, artifact)
    return empty_response()


async def delete_all(exchange: Exchange) -> web.Response:
    """`DELETE /workspaces/:id/artifacts`."""
    artifacts = _workspace(exchange).artifacts
    gone = list(artifacts.values())
    artifacts.clear()
    for artifact in gone:
        await discard(exchange.state, artifact)
    return empty_response()


def _workspace(exchange: Exchange) -> Workspace:
    return exchange.state.workspaces.get(exchange.params["workspace_id"])


def _artifact(exchange: Exchange) -> StoredArtifact:
    return _workspace(exchange).artifact(exchange.params["filename"])


async def _draft(state: State, workspace: Workspace, part: Part) -> StoredArtifact:
    if part.filename is None:
        raise validation_error("A part named files must have a filename.")
    name, content_type = checked_name(part.filename), checked_type(part.content_type or DEFAULT_TYPE)
    return await write(state, workspace, name, content_type, part.chunks)


def _upload_url(state: State, workspace: Workspace, file: Body) -> dict[str, str]:
    name = checked_name(file.text("name"))
    content_type = file.optional_text("contentType") or DEFAULT_TYPE
    url = state.signer.sign("PUT", _storage_url(state, workspace.id, name), content_type)
    return {state.artifact_format.name: name, "uploadUrl": url}


def _signed(state: State, artifact: StoredArtifact) -> str:
    return state.signer.sign("GET", _storage_url(state, artifact.workspace_id, artifact.name))


def _storage_url(state: State, workspace_id: str, name: str) -> str:
    return f"{state.origins['storage']}/artifacts/{segment(workspace_id)}/{segment(name)}"


def _answer_items(exchange: Exchange, artifacts: list[StoredArtifact], status: int = 200) -> web.Response:
    field, items = exchange.state.artifact_format.items, [_item(exchange.state, artifact) for artifact in artifacts]
    return json_response(items if field is None else {field: items}, status)


def _item(state: State, artifact: StoredArtifact) -> dict[str, Any]:
    item: dict[str, Any] = {state.artifact_format.name: artifact.name}
    if state.artifact_format.details:
        item.update(_details(artifact))
    if state.artifact_format.url:
        item["url"] = _signed(state, artifact)
    return item


def _details(artifact: StoredArtifact) -> dict[str, Any]:
    return {
        "size": artifact.size,
        "contentType": artifact.content_type,
        "createdAt": timestamp(artifact.created_at),
        "updatedAt": timestamp(artifact.updated_at),
    }


ROUTES = (
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:read", list_artifacts),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", upload),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", delete_all),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts/upload-url", "artifacts:write", make_upload_urls),
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:read", get),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:write", delete),
)
