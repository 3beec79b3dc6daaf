"""One request and its answer's head, redirects followed by hand."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rebyte_async._transport.fresh import never_kept
from rebyte_async._transport.origin import MAX_REDIRECTS, RedirectRefusedError, redirect_target
from rebyte_async._transport.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse, ClientTimeout
    from yarl import URL

    from rebyte_async._transport.connections import Connections
    from rebyte_async._transport.stats import Counters

__all__ = ["Request", "finite", "send"]


@define(kw_only=True)
class Request:
    """A request as it goes out. Nobody changes one; a frozen class would take three times as long to make."""

    method: str
    url: URL = field(repr=False)
    """Where to; left out of the repr, which tracebacks with their variables show: it may be a signed one."""
    headers: Mapping[str, str] = field(repr=False)
    """What any origin may see."""
    private: Mapping[str, str] = field(repr=False)
    """What only the API's own origin may see: the key, and what the application added."""
    body: bytes | Outgoing | None = field(default=None, repr=False)
    fresh: bool = False
    """Whether it needs a connection that nothing was sent on before."""
    bare: bool = False
    """Whether it goes out with exactly these headers, as a signed URL wants it."""
    buffer: int | None = None
    """The read buffer for its answer, in bytes; None for aiohttp's own."""
    connect: float
    """Seconds for the connection."""
    silence: float
    """Seconds of silence that end it."""


def finite(seconds: float) -> float | None:
    """A time limit as asyncio and aiohttp want it: None for no limit."""
    return seconds if math.isfinite(seconds) else None


@lru_cache(maxsize=64)
def _timeout(connect: float | None, sock_connect: float, sock_read: float) -> ClientTimeout:
    from aiohttp import ClientTimeout  # noqa: PLC0415 - imported on first use

    return ClientTimeout(
        total=None,
        connect=None if connect is None else finite(connect),
        sock_connect=finite(sock_connect),
        sock_read=finite(sock_read),
    )


def _options(request: Request, connections: Connections, url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {
        "allow_redirects": False,
        "raise_for_status": False,
        "data": request.body.blocks() if isinstance(request.body, Outgoing) else request.body,
        "middlewares": connections.middlewares,
        # With a given session the first clock would run while the call waits for one of its connections.
        "timeout": _timeout(None if connections.is_given else request.connect, request.connect, request.silence),
    }
    if request.buffer is not None:
        options["read_bufsize"] = request.buffer
    if request.bare:
        options["skip_auto_headers"] = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
    if request.fresh and connections.is_given:
        options["server_hostname"] = url.raw_host  # part of the pool's key: no connection that was kept has it
        options["middlewares"] = (*(connections.middlewares or ()), never_kept)
    return options


@lru_cache(maxsize=256)
def _name(name: str) -> str:
    """A header's name as aiohttp keeps it: any other is turned into one with each request, and kept as long as it."""
    from multidict import istr  # noqa: PLC0415 - comes with aiohttp, imported on first use

    return istr(name)


def _headers(request: Request, *, trusted: bool) -> dict[str, str]:
    headers = {_name(name): value for name, value in request.headers.items()}
    if trusted:
        headers.update((_name(name), value) for name, value in request.private.items())
    if request.fresh:
        headers[_name("Connection")] = "close"
    return headers


async def send(request: Request, connections: Connections, counters: Counters) -> ClientResponse:
    """Send a request and follow its redirects; the caller reads and closes the answer.

    Raises:
        RedirectRefusedError: A redirect leads where the request must not go, or there are too many.
        Exception: aiohttp's, for `translate`.
    """
    url, trusted, status = request.url, True, 0
    for _ in range(MAX_REDIRECTS + 1):
        headers = _headers(request, trusted=trusted)
        counters.requests += 1
        if isinstance(request.body, bytes):
            counters.bytes_sent += len(request.body)
        session = connections.session(fresh=request.fresh)
        response = await session.request(request.method, url, headers=headers, **_options(request, connections, url))
        try:
            target = redirect_target(request.method, url, response.status, response.headers)
        except RedirectRefusedError:
            response.close()
            raise
        if target is None:
            return response
        response.close()
        status = response.status
        # Once off the API's origin there is no way back to the key: another origin chose where this goes.
        trusted = trusted and target.origin() == request.url.origin()
        url = target
    raise RedirectRefusedError(status, f"more than {MAX_REDIRECTS} redirects")
