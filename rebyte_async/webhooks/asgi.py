"""Requests of ASGI servers, and the life of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from rebyte_async.webhooks.incoming import Incoming, ReadError, extra_headers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rebyte_async.webhooks.receipt import Receipt

__all__ = ["Receive", "Scope", "Send", "answer_http", "live", "refuse_socket"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


async def answer_http(
    scope: Scope, receive: Receive, send: Send, take: Callable[[Incoming], Awaitable[Receipt]]
) -> None:
    """Answer a request with what becomes of it."""
    incoming = Incoming(scope["method"], list(scope["headers"]), _url(scope), _chunks(receive))
    try:
        receipt = await take(incoming)
    except ReadError:
        return  # whoever sent it has left
    headers = {"Content-Length": "0", **extra_headers(receipt.status)}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": receipt.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b""})


async def refuse_socket(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


async def live(receive: Receive, send: Send, begin: Callable[[], None], close: Callable[[], Awaitable[None]]) -> None:
    """Begin and end with the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            begin()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await close()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _chunks(receive: Receive) -> AsyncGenerator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ReadError
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _url(scope: Scope) -> str | None:
    host = next((value for name, value in scope["headers"] if name.lower() == b"host"), None)
    if host is None:
        return None
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    target = path + b"?" + query if query else path
    return f"{scope.get('scheme', 'http')}://{(host + target).decode('latin-1')}"
