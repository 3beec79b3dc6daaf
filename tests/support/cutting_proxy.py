"""A TCP proxy that cuts the connections that go through it."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from attrs import define, field

__all__ = ["CuttingProxy"]


@define(eq=False)
class CuttingProxy:
    """Passes on what comes, and resets a connection after a number of bytes of response, or when asked to."""

    origin: str
    """Where connections lead to, such as `http://127.0.0.1:8080`, or the path of a socket."""
    limits: list[int] = field(factory=list[int])
    """After how many bytes each of the first connections is cut."""
    connections: int = field(default=0, init=False)
    """How many were made."""
    _writers: set[asyncio.StreamWriter] = field(factory=set[asyncio.StreamWriter], init=False)
    _server: asyncio.Server = field(init=False)

    @property
    def url(self) -> str:
        """The origin to use instead."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        limit = self.limits.pop(0) if self.limits else None
        try:
            back, forth = await self._open()
        except OSError:  # nothing listens there now
            writer.transport.abort()
            return
        self._writers |= {writer, forth}
        passing = [asyncio.create_task(self._pass(reader, forth, None))]
        passing += [asyncio.create_task(self._pass(back, writer, limit))]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for either in (writer, forth):
            either.transport.abort()
        await asyncio.wait(passing)
        self._writers -= {writer, forth}

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if sys.platform != "win32" and self.origin.startswith("/"):
            return await asyncio.open_unix_connection(self.origin)
        target = urlsplit(self.origin)
        return await asyncio.open_connection(target.hostname, target.port)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        left = limit
        try:
            while data := await reader.read(65536 if left is None else left):
                writer.write(data)
                await writer.drain()
                left = None if left is None else left - len(data)
                if left == 0:
                    return
        except OSError:
            return
