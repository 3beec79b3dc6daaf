"""A server of its own process that answers as fast as Python can: a task, an upload URL, a sink, a large artifact.

It prints its port and runs until it is ended. What it costs is in no contender's figures but the wall clock's.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

TASK = json.dumps(
    {
        "id": "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0001",
        "url": "https://app.invalid/run/3f2b6c1e",
        "title": "Build a REST API",
        "executor": "claude",
        "model": "m",
        "status": "running",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "completedAt": None,
        "prompts": [{"id": "p1", "status": "running", "submittedAt": "2026-01-02T03:04:05.678Z", "completedAt": None}],
    }
).encode()
BLOCK = bytes(1024 * 1024)


def answer(body: bytes, status: int = 200) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Api(asyncio.Protocol):
    size = 0

    def __init__(self) -> None:
        self.head = bytearray()
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.free = asyncio.Event()
        self.free.set()

    def pause_writing(self) -> None:
        self.free.clear()

    def resume_writing(self) -> None:
        self.free.set()

    def data_received(self, data: bytes) -> None:
        while data:
            if self.left:
                taken = min(self.left, len(data))
                self.left -= taken
                data = data[taken:]
                if not self.left:
                    self.respond()
                continue
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = bytes(self.head[end + 4 :])
            self.request = bytes(self.head[:end])
            self.head.clear()
            length = re.search(rb"(?i)content-length: (\d+)", self.request)
            self.left = int(length[1]) if length else 0
            if not self.left:
                self.respond()

    def respond(self) -> None:
        first = self.request[: self.request.index(b"\r\n")]
        if first.startswith(b"POST /v1/files"):
            host = self.transport.get_extra_info("sockname")
            url = f"http://{host[0]}:{host[1]}/sink"
            self.transport.write(answer(json.dumps({"id": "f1", "filename": "f", "uploadUrl": url}).encode(), 201))
        elif b"/artifacts/" in first or b"/large" in first:
            self.task = asyncio.get_running_loop().create_task(self.send_large())
        else:
            self.transport.write(answer(TASK))

    async def send_large(self) -> None:
        self.transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {self.size}\r\n\r\n".encode())
        for _ in range(self.size // len(BLOCK)):
            await self.free.wait()
            self.transport.write(BLOCK)


async def main(size: int) -> None:
    Api.size = size
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
