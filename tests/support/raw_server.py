"""A server on a real socket whose every byte is the test's."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import define, field, frozen

__all__ = [
    "DROP",
    "Handler",
    "RawRequest",
    "RawServer",
    "Sign",
    "chunk",
    "http_response",
    "json_response",
    "stream_head",
]


class Sign(Enum):
    """An action that a handler has the server do instead of sending bytes."""

    DROP = "drop"
    CLOSE = "close"
    SILENCE = "silence"


DROP = Sign.DROP
"""Reset the connection."""


@frozen(kw_only=True)
class RawRequest:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    names: list[str]
    """The names of all headers in lower case, repeated ones as often as they came."""
    body: bytes
    peer: int
    """The port that it came from: the same for all requests of one connection."""

    @property
    def path(self) -> str:
        """The target without its query, still encoded."""
        return urlsplit(self.target).path

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Reply = bytes | object | AsyncIterator[bytes | object]
Handler = Callable[[RawRequest], Awaitable[Reply]]


def http_response(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole response with a length."""
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(body)}",
        *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_response(document: Any, status: int = 200, **headers: str) -> bytes:
    """Return a whole response in JSON."""
    return http_response(status, json.dumps(document).encode(), Content_Type="application/json", **headers)


def stream_head(*, chunked: bool = True, content_type: str = "text/event-stream") -> bytes:
    """Return the head of an event stream."""
    coding = "Transfer-Encoding: chunked\r\n" if chunked else "Connection: close\r\n"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{coding}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body; an empty one ends the body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@define(eq=False)
class RawServer:
    """Sends what `handler` returns for each request: bytes, `DROP`, or an async iterator of these.

    A connection stays open after bytes, and is closed after an iterator.
    """

    handler: Handler
    ssl: Any = None
    requests: list[RawRequest] = field(factory=list[RawRequest], init=False)
    failures: list[BaseException] = field(factory=list[BaseException], init=False)
    connections: int = field(default=0, init=False)
    _server: asyncio.Server | None = field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def origin(self) -> str:
        """The server's origin."""
        return f"{'https' if self.ssl else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"{self.origin}/v1"

    def seen(self, method: str | None = None, path: str | None = None) -> list[RawRequest]:
        """Return the requests that arrived with a method and a path under the base URL."""
        return [
            request
            for request in self.requests
            if method in {None, request.method} and (path is None or request.path == f"/v1{path}")
        ]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.ssl)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.failures:
            raise AssertionError(f"the server's handler failed: {self.failures!r}") from self.failures[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:  # noqa: BLE001 - it must fail the test, not the connection
            self.failures.append(error)
        finally:
            with suppress(Exception):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read_request(reader, writer)
        self.requests.append(request)
        reply = await self.handler(request)
        if isinstance(reply, AsyncIterator):
            async for piece in reply:
                if not await _write(writer, piece):
                    return False
            return False
        return await _write(writer, reply)


async def _write(writer: asyncio.StreamWriter, piece: object) -> bool:
    if piece is DROP:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()
        return False
    assert isinstance(piece, bytes), piece
    writer.write(piece)
    await writer.drain()
    return True


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> RawRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    headers = dict(pairs)
    length = int(headers.get("content-length", "0"))
    body = await reader.readexactly(length) if length else b""
    return RawRequest(
        method=method,
        target=target,
        headers=headers,
        names=[name for name, _ in pairs],
        body=body,
        peer=writer.get_extra_info("peername")[1],
    )
