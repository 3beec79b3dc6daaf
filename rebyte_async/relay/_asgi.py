"""Respond with the events of a task in the servers of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

import anyio

from rebyte_async.relay._relaying import write_all
from rebyte_async.relay._requests import Refusal, Source, open_stream
from rebyte_async.relay._shutdown import find_exit, watch
from rebyte_async.streams import TaskEventStream

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
_RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]


async def respond(
    source: Source, heartbeat: float, headers: _RawHeaders, scope: Scope, receive: Receive, send: Send
) -> None:
    """Respond to a request of an ASGI server."""
    opened = await open_stream(source, scope["headers"])
    if isinstance(opened, Refusal):
        refusal = [(name.lower().encode(), value.encode()) for name, value in opened.headers.items()]
        await send({"type": "http.response.start", "status": opened.status, "headers": refusal})
        await send({"type": "http.response.body", "body": opened.body})
        return
    is_whole = True
    try:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        if scope["method"] != "HEAD":
            with watch(find_exit()) as over:
                is_whole = await _write_until_gone(opened, heartbeat, over, receive, send)
    finally:
        await opened.aclose()
    if is_whole:  # else the end would wait for a browser that takes nothing, or is gone
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b""})


async def _write_until_gone(
    stream: TaskEventStream, heartbeat: float, over: asyncio.Future[None], receive: Receive, send: Send
) -> bool:
    def write(frame: bytes) -> Awaitable[None]:
        return send({"type": "http.response.body", "body": frame, "more_body": True})

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not over.done():
            over.set_result(None)

    listening = asyncio.create_task(listen())
    try:
        return await write_all(stream, heartbeat, over, write)
    finally:
        listening.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({listening})
