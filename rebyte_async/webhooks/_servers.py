"""Take requests from servers: from aiohttp's and from those of ASGI.

Each server's request becomes an `IncomingRequest`, which the receiver turns into a `Receipt`; that becomes the server's
response. aiohttp is imported when one of its requests comes: its users have it imported anyway.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from anyio import move_on_after
from attrs import frozen
from yarl import URL

from rebyte_async._validate import is_loopback
from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks._headers import Headers
from rebyte_async.webhooks.receipt import Receipt
from rebyte_async.webhooks.verifier import WebhookVerifier

if TYPE_CHECKING:
    from aiohttp import web

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Process: TypeAlias = "Callable[[IncomingRequest], Awaitable[Receipt]]"

_EXTRA_HEADERS: Mapping[int, Mapping[str, str]] = {405: {"Allow": "POST"}, 503: {"Retry-After": "5"}}
_MAX_LENGTH_DIGITS = 15
"""The most digits of a plausible Content-Length: terabytes."""


class BodyReadError(Exception):
    """The body of a request can't be read to its end: the sender disconnected, or sends no valid body."""


@frozen
class IncomingRequest:
    """A request, in the same form for all servers."""

    method: str
    headers: Headers
    url: str | None
    """The URL according to the request itself."""
    chunks: AsyncGenerator[bytes]
    """The body. Raises `BodyReadError`."""

    async def read_body(self, max_body: int, timeout: float) -> bytes | Receipt:
        """Return the body, or the response to a request that can't be a delivery, is too large or takes too long."""
        if self.method != "POST":
            return Receipt(status=405)
        if any(coding.lower() != "identity" for coding in self.headers.get_texts("Content-Encoding")):
            return Receipt(status=415)  # the bytes must be verified as they were sent
        for length in self.headers.get_texts("Content-Length"):
            if length.isdigit() and (len(length) > _MAX_LENGTH_DIGITS or int(length) > max_body):
                return Receipt(status=413)
        with move_on_after(timeout):
            async with aclosing(self.chunks) as chunks:
                read = bytearray()
                async for chunk in chunks:
                    read += chunk
                    if len(read) > max_body:
                        return Receipt(status=413)
                return bytes(read)
        return Receipt(status=408)


# --- the URL that a signature covers ---


def check_registered_url(url: object) -> str | None:
    """Check a URL that a webhook may have been registered with, and return it exactly as it was given."""
    if url is None:
        return None
    parsed = _parse(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"url must be the absolute URL that was registered, not {url!r:.200}")
    return str(url)


def url_from_request(url: str | None, verifier: WebhookVerifier) -> str | None:
    """Return the URL according to the request, for a receiver that was not given the registered one.

    The sender of a request chooses the host in it. Someone who has a webhook with the same service could forward their
    own deliveries with their own host, and the signature would match. So without a secret the host is only believed on
    this machine; elsewhere this raises a `ConfigurationError`.
    """
    is_needed = verifier.checks_signature and verifier.scheme.needs_url
    if not is_needed or verifier.checks_secret or url is None or is_loopback(_parse(url).host):
        return url
    raise ConfigurationError(
        "the receiver needs url=, exactly as it was registered: a signature covers it, and the host in a request "
        "proves nothing"
    )


def _parse(url: object) -> URL:
    try:
        return URL(url) if isinstance(url, str) else URL()
    except ValueError:
        return URL()


# --- aiohttp ---


async def respond_aiohttp(request: web.BaseRequest, process: Process) -> web.StreamResponse:
    """Process a request of aiohttp's server and return its response."""
    from aiohttp import web  # noqa: PLC0415 - users of other servers don't need it

    url = f"{request.scheme}://{request.host}{request.raw_path}"
    incoming = IncomingRequest(request.method, Headers.parse(request.headers), url, _read_aiohttp(request))
    try:
        receipt = await process(incoming)
    except BodyReadError:
        return web.Response(status=400)
    return web.Response(status=receipt.status, headers=_EXTRA_HEADERS.get(receipt.status))


async def _read_aiohttp(request: web.BaseRequest) -> AsyncGenerator[bytes]:
    from aiohttp import ClientPayloadError, web  # noqa: PLC0415 - imported already

    is_empty = True
    try:
        async for chunk in request.content.iter_any():
            is_empty = False
            yield chunk
        if is_empty:  # a middleware may have read the body; aiohttp keeps it then
            yield await request.read()
    except (web.RequestPayloadError, ClientPayloadError, ConnectionError) as error:
        raise BodyReadError from error


# --- ASGI ---


async def respond_asgi(scope: Scope, receive: Receive, send: Send, process: Process) -> None:
    """Process an HTTP request of an ASGI server and send its response."""
    headers = Headers.parse(list(scope["headers"]))
    incoming = IncomingRequest(scope["method"], headers, _find_asgi_url(scope), _read_asgi(receive))
    try:
        receipt = await process(incoming)
    except BodyReadError:
        return  # the sender has disconnected
    extra = {"Content-Length": "0", **_EXTRA_HEADERS.get(receipt.status, {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": receipt.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b""})


async def run_lifespan(
    receive: Receive, send: Send, on_startup: Callable[[], None], on_shutdown: Callable[[], Awaitable[None]]
) -> None:
    """Follow the lifespan of an ASGI server: call the one function when it starts, the other when it stops."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            on_startup()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await on_shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _read_asgi(receive: Receive) -> AsyncGenerator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyReadError
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _find_asgi_url(scope: Scope) -> str | None:
    host = next((value for name, value in scope["headers"] if name.lower() == b"host"), None)
    if host is None:
        return None
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    target = path + b"?" + query if query else path
    return f"{scope.get('scheme', 'http')}://{(host + target).decode('latin-1')}"
