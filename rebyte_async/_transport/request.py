"""One request with its redirects, which are followed here and not by aiohttp, and bodies that are sent as read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field
from multidict import istr
from yarl import URL

from rebyte_async._tracing import NO_CALL, CallTrace
from rebyte_async._transport.aiohttp_internals import (
    close_after_response,
    fail_body_with_connection,
    unshared_pool_key,
)
from rebyte_async._transport.sessions import SessionPool
from rebyte_async._transport.throttle import Counters
from rebyte_async._transport.urls import (
    LONGEST_HEADER,
    MAX_REDIRECTS,
    RedirectRefusedError,
    is_same_origin,
    resolve_redirect,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientTimeout


class Body(Protocol):
    """A body of known size in bytes, which can be read from its start any number of times.

    `on_sent` learns how many of its bytes are on their way, in the attempt that is under way.
    """

    @property
    def size(self) -> int: ...
    def chunks(self) -> AsyncIterable[bytes]: ...
    def on_sent(self, count: int) -> None: ...


@define(eq=False, repr=False)
class StreamedBody:
    """A body on its way. Each chunk that is sent moves the attempt's deadline on, so that only silence ends it."""

    body: Body
    _counters: Counters
    _idle_timeout: float | None
    deadline: asyncio.Timeout = field(init=False)  # the deadline of the attempt that is under way
    failure: Exception | None = field(default=None, init=False)
    """What reading the body raised: an error of the caller's source, not of the network."""
    _failed_at: TracebackType | None = field(default=None, init=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        count = 0
        self._extend_deadline()
        try:
            async for chunk in self.body.chunks():
                yield chunk
                count += len(chunk)
                self._counters.bytes_sent += len(chunk)
                self.body.on_sent(count)
                self._extend_deadline()
        except Exception as error:
            self.failure = error
            self._failed_at = error.__traceback__
            raise

    def raise_failure(self) -> None:
        """Raise what reading the body raised, if anything, without the frames of aiohttp that it then came through.

        Their variables show the URL of the request, which may be a signed one.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(self._failed_at)

    def _extend_deadline(self) -> None:
        if self._idle_timeout is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._idle_timeout)


@define(eq=False, repr=False, kw_only=True)
class Request:
    """A request as it is sent. Treat it as frozen: a frozen class would take three times as long to make.

    Tools that print the variables of a traceback look into it, such as rich: they leave out what has no repr.
    """

    method: str
    template: str  # the path with the names of ids, for logs and metrics
    task_id: str | None = None  # the task that the path names
    url: URL = field(repr=False)  # it may be a signed one
    headers: Mapping[str, str]  # the headers that any origin may see
    origin_headers: Mapping[str, str] = field(repr=False)
    """The headers that only the API's own origin may see: the key, and the application's."""
    body: bytes | StreamedBody | None = field(default=None, repr=False)  # it may have a webhook's secret
    new_connection: bool = False  # whether the request needs a connection on which nothing was sent before
    exact_headers: bool = False  # whether exactly these headers are sent, as a signed URL wants it
    trace: CallTrace = NO_CALL
    unpacks: bool = True  # whether aiohttp unpacks a compressed body of its response
    read_buffer: int | None = None  # the read buffer for its response, in bytes; None for aiohttp's own
    connect_timeout: float  # seconds for making a connection; `math.inf` for no limit
    idle_timeout: float  # seconds without a byte after which the attempt fails; `math.inf` for no limit


def finite(seconds: float) -> float | None:
    """Return a time limit as asyncio and aiohttp want it: None for no limit."""
    return seconds if math.isfinite(seconds) else None


async def send_following_redirects(request: Request, sessions: SessionPool, counters: Counters) -> ClientResponse:
    """Send a request and follow its redirects; the caller reads and closes the response.

    Raises aiohttp's errors, for `translate`, and `RedirectRefusedError` if a redirect leads where the request must not
    go, or if there are too many.
    """
    url = request.url
    is_trusted = True
    redirects = 0
    while True:
        counters.requests += 1
        if isinstance(request.body, bytes):
            counters.bytes_sent += len(request.body)
        session = sessions.session(single_use=request.new_connection)
        options = _make_options(request, sessions, url, is_trusted=is_trusted)
        response = await session.request(request.method, url, **options)
        fail_body_with_connection(response)
        try:
            target = resolve_redirect(request.method, url, response.status, response.headers)
        except RedirectRefusedError:
            response.close()
            raise
        if target is None:
            return response
        response.close()
        if redirects == MAX_REDIRECTS:
            raise RedirectRefusedError(response.status, f"more than {MAX_REDIRECTS} redirects")
        redirects += 1
        # Once off the API's origin the key is never sent again: another origin chose where the request goes.
        is_trusted = is_trusted and is_same_origin(target, request.url)
        url = target


def _make_options(request: Request, sessions: SessionPool, url: URL, *, is_trusted: bool) -> dict[str, Any]:
    """Return the arguments of aiohttp's `request`."""
    headers = _merge_headers(request, is_trusted=is_trusted)
    host = url.raw_host or ""
    if host.endswith("."):  # aiohttp would drop the dot, which may be signed
        headers["Host"] = host if url.is_default_port() else f"{host}:{url.port}"
    options: dict[str, Any] = {
        "headers": headers,
        "allow_redirects": False,
        "raise_for_status": False,
        "data": request.body.chunks() if isinstance(request.body, StreamedBody) else request.body,
        "middlewares": sessions.middlewares,
        "max_line_size": LONGEST_HEADER,
        "max_field_size": LONGEST_HEADER,
        "timeout": _make_timeout(
            request.connect_timeout if sessions.limits_connecting else None,
            request.connect_timeout,
            request.idle_timeout,
        ),
    }
    if (proxy := sessions.network.proxy_for(url)) is not None:
        options |= {"proxy": proxy.url, "proxy_headers": proxy.headers}
        if url.scheme == "http":  # the proxy reads the request itself, and aiohttp sends it no other headers
            headers.update(proxy.headers)
    if request.read_buffer is not None:
        options["read_bufsize"] = request.read_buffer
    if not request.unpacks:
        options["auto_decompress"] = False
    if request.exact_headers:
        options["skip_auto_headers"] = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
    if request.new_connection and sessions.is_injected:
        options |= unshared_pool_key(url)
        options["middlewares"] = (*(sessions.middlewares or ()), close_after_response)
    return options


@lru_cache(maxsize=64)
def _make_timeout(connect: float | None, sock_connect: float, sock_read: float) -> ClientTimeout:
    from aiohttp import ClientTimeout  # noqa: PLC0415 - imported on first use

    return ClientTimeout(
        total=None,
        connect=None if connect is None else finite(connect),
        sock_connect=finite(sock_connect),
        sock_read=finite(sock_read),
    )


def _merge_headers(request: Request, *, is_trusted: bool) -> dict[str, str]:
    headers = {**request.headers, **(request.origin_headers if is_trusted else {})}
    if request.new_connection:
        headers["Connection"] = "close"
    return {_intern_name(name): value for name, value in headers.items()}


@lru_cache(maxsize=256)
def _intern_name(name: str) -> str:
    """Return the name of a header as aiohttp keeps it: it would convert any other one with each request."""
    return istr(name)
