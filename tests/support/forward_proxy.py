"""A proxy as companies have them: it takes CONNECT and whole URLs, and alone knows where the hosts are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import define, field, frozen

__all__ = ["ForwardProxy", "ProxyRequest"]


@frozen
class ProxyRequest:
    """A request to the proxy."""

    method: str
    target: str
    headers: dict[str, str]


@define(eq=False)
class ForwardProxy:
    """Connects to the hosts that it knows, and responds to everything with `reply` if it has one."""

    hosts: dict[str, int]
    """The ports on loopback of the hosts that it knows, by name."""
    reply: bytes | None = None
    """Sent instead of connecting; the connection is closed after it."""
    ssl: Any = None
    requests: list[ProxyRequest] = field(factory=list[ProxyRequest], init=False)
    _server: asyncio.Server = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{'https' if self.ssl else 'http'}://{self.address}"

    @property
    def connects(self) -> list[str]:
        """The hosts that it was asked to connect to, with their ports."""
        return [request.target for request in self.requests if request.method == "CONNECT"]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.ssl)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._handle(reader, writer)
        finally:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.requests.append(ProxyRequest(method, target, headers))
        if self.reply is not None:
            writer.write(self.reply)
            await writer.drain()
            return
        host = (target if method == "CONNECT" else urlsplit(target).netloc).partition(":")[0]
        back, forth = await asyncio.open_connection("127.0.0.1", self.hosts[host])
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = urlsplit(target)
                forth.write(head.replace(target.encode(), url._replace(scheme="", netloc="").geturl().encode(), 1))
            await asyncio.wait(
                [asyncio.ensure_future(_pass_on(reader, forth)), asyncio.ensure_future(_pass_on(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            forth.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
