"""Plain requests about the artifacts of one workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from attrs import frozen
from yarl import URL

from emulator.raw_client import Response

if TYPE_CHECKING:
    from emulator.raw_client import RawClient


@frozen
class RawWorkspace:
    """Requests about the artifacts of a workspace."""

    http: RawClient
    id: str

    @classmethod
    async def create(cls, http: RawClient) -> RawWorkspace:
        """Create a workspace, by creating an agent computer."""
        return cls(http, (await http.call("POST", "/agent-computers", json={})).json()["id"])

    @property
    def path(self) -> str:
        """The path of its artifacts."""
        return f"/workspaces/{self.id}/artifacts"

    async def call(self, method: str, name: str | None = None, **options: Any) -> Response:
        """Send a request about one artifact, or about all."""
        path = self.path if name is None else f"{self.path}/{quote(name, safe='')}"
        headers = {"API_KEY": self.http.emulator.api_key, **options.pop("headers", {})}
        return await send(self.http, method, self.http.emulator.url + path, headers=headers, **options)

    async def names(self) -> list[str]:
        """Return the names of all artifacts."""
        return [item["name"] for item in (await self.call("GET")).json()["artifacts"]]

    async def upload(self, *files: tuple[str, Any], content_type: str = "text/csv") -> Response:
        """Upload files in one request, with their names as browsers write them."""
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        for name, content in files:
            form.add_field("files", content, filename=name, content_type=content_type)
        return await self.call("POST", data=form)

    async def send_parts(self, body: bytes, boundary: str = "b") -> Response:
        """Send a multipart body as it is."""
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return await self.call("POST", data=body, headers=headers)

    async def upload_url(self, name: str, **fields: Any) -> Any:
        """Request a signed URL for an upload."""
        response = await self.call("POST", "upload-url", json={"files": [{"name": name, **fields}]})
        assert response.status == 200, response
        return response.json()["urls"][0]["uploadUrl"]


async def send(http: RawClient, method: str, url: str, **options: Any) -> Response:
    """Send a request to a URL exactly as it is written, without following redirects."""
    options.setdefault("headers", {})
    target = URL(url, encoded=True)
    async with http.session.request(method, target, allow_redirects=False, **options) as response:
        return Response(response.status, response.headers, await response.read())
