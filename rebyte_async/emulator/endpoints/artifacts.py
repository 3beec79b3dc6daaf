"""`/workspaces/:id/artifacts`: list, download, upload and delete the artifacts of a workspace.

*Source*: contract, section 6 (documented that they exist; all shapes are guesses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from rebyte_async.emulator.answers import answer_json, answer_nothing
from rebyte_async.emulator.artifacts.download import make_download
from rebyte_async.emulator.artifacts.keep import DEFAULT_TYPE, discard, place, write
from rebyte_async.emulator.artifacts.multipart import Multipart
from rebyte_async.emulator.artifacts.names import checked_name, checked_type, segment
from rebyte_async.emulator.clock import stamp
from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from rebyte_async.emulator.artifacts.multipart import Part
    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.state.artifacts import StoredArtifact
    from rebyte_async.emulator.state.workspaces import Workspace
    from rebyte_async.emulator.world import World


async def list_artifacts(call: Call) -> web.Response:
    """`GET /workspaces/:id/artifacts`: all of them, the oldest name first."""
    return _answer_items(call, list(_workspace(call).artifacts.values()))


async def get(call: Call) -> web.StreamResponse:
    """`GET /workspaces/:id/artifacts/:filename`: the bytes, or where they are."""
    artifact, redirect = _artifact(call), call.world.artifact_format.redirect
    if redirect is None:
        return make_download(call, artifact)
    return web.Response(status=redirect, headers={"Location": _signed(call.world, artifact)})


async def upload(call: Call) -> web.Response:
    """`POST /workspaces/:id/artifacts`: the parts named `files`, all of them or none."""
    workspace, drafts = _workspace(call), list["StoredArtifact"]()
    try:
        async for part in Multipart.of(call.request.headers.get("Content-Type", ""), call.chunks()).parts():
            if part.name == "files":
                drafts.append(await _draft(call.world, workspace, part))
    except BaseException:
        for draft in drafts:
            await discard(call.world, draft)
        raise
    if not drafts:
        raise validation_error("files is required.")
    for draft in drafts:
        await place(call.world, workspace, draft)
    return _answer_items(call, drafts, call.world.artifact_format.upload_status)


async def make_upload_urls(call: Call) -> web.Response:
    """`POST /workspaces/:id/artifacts/upload-url`: a signed URL for each file, in their order."""
    workspace, body = _workspace(call), await call.body()
    urls = [_upload_url(call.world, workspace, file) for file in body.bodies("files")]
    if not urls:
        raise validation_error("files must have at least one file.")
    return answer_json({call.world.artifact_format.urls: urls})


async def delete(call: Call) -> web.Response:
    """`DELETE /workspaces/:id/artifacts/:filename`."""
    artifact = _artifact(call)
    del _workspace(call).artifacts[artifact.name]
    await discard(call.world, artifact)
    return answer_nothing()


async def delete_all(call: Call) -> web.Response:
    """`DELETE /workspaces/:id/artifacts`."""
    artifacts = _workspace(call).artifacts
    gone = list(artifacts.values())
    artifacts.clear()
    for artifact in gone:
        await discard(call.world, artifact)
    return answer_nothing()


def _workspace(call: Call) -> Workspace:
    return call.world.workspaces.get(call.params["workspace_id"])


def _artifact(call: Call) -> StoredArtifact:
    return _workspace(call).artifact(call.params["filename"])


async def _draft(world: World, workspace: Workspace, part: Part) -> StoredArtifact:
    if part.filename is None:
        raise validation_error("A part named files must have a filename.")
    name, content_type = checked_name(part.filename), checked_type(part.content_type or DEFAULT_TYPE)
    return await write(world, workspace, name, content_type, part.chunks)


def _upload_url(world: World, workspace: Workspace, file: Body) -> dict[str, str]:
    name = checked_name(file.text("name"))
    content_type = file.optional_text("contentType") or DEFAULT_TYPE
    url = world.signer.sign("PUT", _storage_url(world, workspace.id, name), content_type)
    return {world.artifact_format.name: name, "uploadUrl": url}


def _signed(world: World, artifact: StoredArtifact) -> str:
    return world.signer.sign("GET", _storage_url(world, artifact.workspace_id, artifact.name))


def _storage_url(world: World, workspace_id: str, name: str) -> str:
    return f"{world.origins['storage']}/artifacts/{segment(workspace_id)}/{segment(name)}"


def _answer_items(call: Call, artifacts: list[StoredArtifact], status: int = 200) -> web.Response:
    field, items = call.world.artifact_format.items, [_item(call.world, artifact) for artifact in artifacts]
    return answer_json(items if field is None else {field: items}, status)


def _item(world: World, artifact: StoredArtifact) -> dict[str, Any]:
    item: dict[str, Any] = {world.artifact_format.name: artifact.name}
    if world.artifact_format.details:
        item.update(_details(artifact))
    if world.artifact_format.url:
        item["url"] = _signed(world, artifact)
    return item


def _details(artifact: StoredArtifact) -> dict[str, Any]:
    return {
        "size": artifact.size,
        "contentType": artifact.content_type,
        "createdAt": stamp(artifact.created_at),
        "updatedAt": stamp(artifact.updated_at),
    }


ROUTES = (
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:read", list_artifacts),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", upload),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts", "artifacts:write", delete_all),
    Route("POST", "/v1/workspaces/{workspace_id}/artifacts/upload-url", "artifacts:write", make_upload_urls),
    Route("GET", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:read", get),
    Route("DELETE", "/v1/workspaces/{workspace_id}/artifacts/{filename}", "artifacts:write", delete),
)
