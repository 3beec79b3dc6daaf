"""`/workspaces/:id/artifacts`: list, download, upload and delete the artifacts of a workspace.

*Source*: contract §6, documented (the endpoints). GUESS(§6): all shapes
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from rebyte_async.emulator.artifacts.download import DownloadPlan, make_download
from rebyte_async.emulator.artifacts.multipart import MultipartReader, Part
from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE, check_name
from rebyte_async.emulator.body import JsonObject
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import apply_faults
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.generators import timestamp
from rebyte_async.emulator.responses import json_response, validation_error
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.files import StoredArtifact, Workspace


async def list_artifacts(state: State, exchange: Exchange) -> web.Response:
    """`GET /workspaces/:id/artifacts`: all of them, the oldest name first."""
    return _list_response(state, list(_workspace(state, exchange).artifacts.values()))


async def get(state: State, exchange: Exchange) -> web.StreamResponse:
    """`GET /workspaces/:id/artifacts/:filename`: the bytes, or a redirect to them."""
    artifact, redirect = _artifact(state, exchange), state.formats.artifact.redirect
    if redirect is None:
        return _download(exchange, artifact)
    return web.Response(status=redirect, headers={"Location": _signed_url(state, artifact)})


async def upload(state: State, exchange: Exchange) -> web.Response:
    """`POST /workspaces/:id/artifacts`: stores the parts named `files`, all of them or none."""
    workspace, drafts = _workspace(state, exchange), list[StoredArtifact]()
    content_type = exchange.request.headers.get("Content-Type", "")
    # No part is published before all of them have come; until then their bytes are drafts on the disk.
    try:
        async for part in MultipartReader.open(content_type, exchange.body.chunks()).parts():
            if part.name == "files":
                drafts.append(await _write_draft(state, workspace, part))
    except BaseException:
        for draft in drafts:
            await state.artifacts.discard(draft)
        raise
    if not drafts:
        raise validation_error("files is required.")
    for draft in drafts:
        await state.artifacts.publish(workspace, draft)
    return _list_response(state, drafts, state.formats.artifact.upload_status)


async def create_upload_urls(state: State, exchange: Exchange) -> web.Response:
    """`POST /workspaces/:id/artifacts/upload-url`: a signed URL for each file, in their order."""
    workspace, body = _workspace(state, exchange), await exchange.body.json()
    urls = [_create_upload_url(state, workspace, file) for file in body.objects("files")]
    if not urls:
        raise validation_error("files must have at least one file.")
    return json_response({state.formats.artifact.urls: urls})


async def delete(state: State, exchange: Exchange) -> web.Response:
    artifact = _artifact(state, exchange)
    del _workspace(state, exchange).artifacts[artifact.name]
    await state.artifacts.discard(artifact)
    return web.Response(status=204)


async def delete_all(state: State, exchange: Exchange) -> web.Response:
    artifacts = _workspace(state, exchange).artifacts
    removed = list(artifacts.values())
    artifacts.clear()
    for artifact in removed:
        await state.artifacts.discard(artifact)
    return web.Response(status=204)


async def get_signed(state: State, exchange: Exchange) -> web.StreamResponse:
    """`GET` of a signed URL, on the storage: the bytes."""
    workspace, name = _workspace(state, exchange), exchange.params["filename"]
    return state.signer.check(exchange.request) or _download(exchange, workspace.artifacts[name])


async def put_signed(state: State, exchange: Exchange) -> web.Response:
    """`PUT uploadUrl`, on the storage: needs the announced content type, and a length."""
    workspace, name = _workspace(state, exchange), exchange.params["filename"]
    error = state.signer.check_upload(exchange.request)
    if error is not None:
        return error
    content_type = exchange.request.headers.get("Content-Type", DEFAULT_TYPE)
    draft = await state.artifacts.write(workspace, name, content_type, exchange.body.chunks())
    await state.artifacts.publish(workspace, draft)
    return web.Response()


def _workspace(state: State, exchange: Exchange) -> Workspace:
    return state.workspaces[exchange.params["workspace_id"]]


def _artifact(state: State, exchange: Exchange) -> StoredArtifact:
    return _workspace(state, exchange).artifacts[exchange.params["filename"]]


def _download(exchange: Exchange, artifact: StoredArtifact) -> web.StreamResponse:
    plan = DownloadPlan(artifact=artifact, etag=artifact.etag)
    return make_download(exchange.request.headers, apply_faults(exchange.faults, "download", plan))


async def _write_draft(state: State, workspace: Workspace, part: Part) -> StoredArtifact:
    if part.filename is None:
        raise validation_error("A part named files must have a filename.")
    name, content_type = check_name(part.filename), part.content_type or DEFAULT_TYPE
    if not content_type.isascii() or not content_type.isprintable():
        raise validation_error("A content type must be printable ASCII.")
    return await state.artifacts.write(workspace, name, content_type, part.chunks)


def _create_upload_url(state: State, workspace: Workspace, file: JsonObject) -> dict[str, str]:
    name = check_name(file.text("name"))
    content_type = file.optional_text("contentType") or DEFAULT_TYPE
    url = state.sign_url("PUT", _storage_path(workspace.id, name), content_type)
    return {state.formats.artifact.name: name, "uploadUrl": url}


def _signed_url(state: State, artifact: StoredArtifact) -> str:
    return state.sign_url("GET", _storage_path(artifact.workspace_id, artifact.name))


def _storage_path(workspace_id: str, name: str) -> str:
    return f"/artifacts/{quote(workspace_id, safe='')}/{quote(name, safe='')}"


def _list_response(state: State, artifacts: list[StoredArtifact], status: int = 200) -> web.Response:
    field, items = state.formats.artifact.items, [_to_json(state, artifact) for artifact in artifacts]
    return json_response(items if field is None else {field: items}, status)


def _to_json(state: State, artifact: StoredArtifact) -> dict[str, Any]:
    form = state.formats.artifact
    item: dict[str, Any] = {form.name: artifact.name}
    if form.details:
        item["size"] = artifact.size
        item["contentType"] = artifact.content_type
        item["createdAt"] = timestamp(artifact.created_at)
        item["updatedAt"] = timestamp(artifact.updated_at)
    if form.url:
        item["url"] = _signed_url(state, artifact)
    return item


ROUTES = (
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:read", list_artifacts),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", upload),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", delete_all),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts/upload-url", "artifacts:write", create_upload_urls),
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:read", get),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:write", delete),
)

STORAGE_ROUTES = (
    Route("GET", "/artifacts/{workspace_id}/{filename}", None, get_signed),
    Route("PUT", "/artifacts/{workspace_id}/{filename}", None, put_signed),
)
