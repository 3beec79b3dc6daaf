"""A plain client of the emulator, made from aiohttp alone, without code of the SDK."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from attrs import frozen
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from rebyte_async.emulator import Emulator


@frozen
class Response:
    """A response that was read to its end."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code in the API's error envelope."""
        return str(self.json()["error"]["code"])


@frozen
class Frame:
    """A frame of an event stream."""

    fields: dict[str, str]
    comments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The frame's event field."""
        return self.fields.get("event", "")

    @property
    def data(self) -> Any:
        """The frame's data field, decoded."""
        return json.loads(self.fields["data"])


@frozen
class RawClient:
    """Requests to one emulator, with its key."""

    emulator: Emulator
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> Response:
        """Send a request, and read the response."""
        options.setdefault("headers", {"API_KEY": self.emulator.api_key})
        # A signed URL is asked for letter by letter.
        url = URL(path, encoded=True) if path.startswith("http") else URL(self.emulator.url + path)
        async with self.session.request(method, url, **options) as response:
            return Response(response.status, response.headers, await response.read())

    async def create(self, prompt: str = "Say hello", **fields: Any) -> str:
        """Create a task, and return its id."""
        response = await self.call("POST", "/tasks", json={"prompt": prompt, **fields})
        assert response.status == 201, response
        return str(response.json()["id"])

    async def task(self, task_id: str) -> Any:
        """Get a task."""
        return (await self.call("GET", f"/tasks/{task_id}")).json()

    @asynccontextmanager
    async def open(self, task_id: str) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Connect to a task's stream."""
        headers = {"API_KEY": self.emulator.api_key, "Accept": "text/event-stream"}
        async with self.session.get(f"{self.emulator.url}/tasks/{task_id}/events", headers=headers) as response:
            yield response

    async def frames(self, task_id: str) -> list[Frame]:
        """Read a task's stream to its end."""
        async with self.open(task_id) as response:
            assert response.status == 200
            return parse(await response.read())

    async def texts(self, task_id: str) -> list[str]:
        """Return the contents of the events of a task's stream."""
        frames = await self.frames(task_id)
        return [frame.data["payload"]["content"] for frame in frames if frame.name == "event"]


async def read_frame(response: aiohttp.ClientResponse) -> Frame:
    """Read the next frame of an open stream."""
    return parse(await response.content.readuntil(b"\n\n"))[0]


async def read_until_broken(response: aiohttp.ClientResponse) -> tuple[bytes, Exception | None]:
    """Return the bytes that came before a stream ended, and the error that it ended with, if any."""
    received = bytearray()
    try:
        async for data in response.content.iter_any():
            received += data
    except (aiohttp.ClientError, ConnectionError) as error:
        return bytes(received), error
    return bytes(received), None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition holds, where only the service's own responses show it."""
    while not await condition():
        await asyncio.sleep(0)


def parse(stream: bytes) -> list[Frame]:
    """Parse the frames of a stream."""
    return [_frame(block) for block in stream.decode().split("\n\n") if block]


def _frame(block: str) -> Frame:
    lines = [line.partition(": ") for line in block.split("\n")]
    fields = {name: value for name, _, value in lines if name}
    return Frame(fields, tuple(value for name, _, value in lines if not name))
