"""The operations of a client's transport: call, stream, download, upload, put."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define, evolve, field
from yarl import URL

from rebyte_async._tracing import CallTrace
from rebyte_async._transport.aiohttp_internals import disable_read_timeout, read_in_small_pieces
from rebyte_async._transport.attempts import SUCCESS, Attempts
from rebyte_async._transport.request import Body, Request, StreamedBody, finite
from rebyte_async._transport.response import BodyStream, Response, coding_of
from rebyte_async._transport.unpacking import Unpacker, UnpackingError
from rebyte_async._transport.urls import may_be_handed_out, read_signed_url, redact_url
from rebyte_async._version import __version__
from rebyte_async._wire import json as wire_json
from rebyte_async._wire.endpoints import API_KEY_HEADER, HEALTH_PATH, Endpoint
from rebyte_async.errors import InvalidRequestError, TransportError

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_PYTHON = f"Python/{sys.version_info.major}.{sys.version_info.minor}"
_HEADERS = {"User-Agent": f"rebyte-async/{__version__} {_PYTHON}", "Accept": "application/json"}
_JSON_HEADERS = {**_HEADERS, "Content-Type": "application/json"}
_NO_HEADERS: Mapping[str, str] = {}
_HEALTH = Endpoint("GET", HEALTH_PATH)
_SIGNED_PUT = Endpoint("PUT", "a signed URL")
_STREAM_BUFFER = 16 * 1024
"""aiohttp's read buffer for an event stream, in bytes: with its default an unread stream holds 430 KB."""
_DOWNLOAD_BUFFER = 1024 * 1024
"""The same for a download: with small chunks it takes half as long again."""


class UploadTarget(Protocol):
    """Where a body is to be put: at a signed URL, which carries its own authorization, so that it is never shown."""

    @property
    def upload_url(self) -> str: ...


@define(eq=False, repr=False)
class _GuardedBody:
    """A short body that is sent only if something may be sent at all, which is asked at the last moment."""

    _content: bytes
    _may_send: Callable[[], None]

    @property
    def size(self) -> int:
        return len(self._content)

    async def chunks(self) -> AsyncIterator[bytes]:
        self._may_send()
        yield self._content

    def on_sent(self, count: int) -> None:
        """Nothing is shown of so short a body."""


@define(eq=False, repr=False, kw_only=True, slots=False)
class Transport(Attempts):
    """Sends the requests of a client; those made by `with_settings` share sessions, throttle, budget and counts.

    Treat it as frozen. It has a `__dict__`, since each view of a client copies one.

    All operations raise what `call` raises, and those with a body also what reading it raises.
    """

    base_url: URL
    may_send: Callable[[], None] | None = None
    """Called when a connection is made, just before a body of JSON is sent. If it raises, the body isn't sent."""
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """What the application adds to every request to the API's origin."""
    _origin_headers: Mapping[str, str] = field(
        default=Factory(lambda self: {**self.headers, API_KEY_HEADER: self.api_key}, takes_self=True),
        init=False,
        repr=False,
    )
    """What only the API's origin may see."""
    _prefix: str = field(default=Factory(lambda self: str(self.base_url).rstrip("/"), takes_self=True), init=False)
    """The URL before every path."""

    def with_settings(self, **changes: Any) -> Transport:
        """Return a transport with other settings that shares everything else with this one."""
        other = object.__new__(Transport)
        other.__dict__.update(self.__dict__, **changes)  # `attrs.evolve` takes several times as long
        other._origin_headers = {**other.headers, API_KEY_HEADER: self.api_key}
        return other

    def call(
        self,
        endpoint: Endpoint,
        *,
        ids: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
        json: Any = None,
    ) -> Coroutine[Any, Any, Response]:
        """Carry out an operation, with as many attempts as are safe and allowed.

        Raises:
            InvalidRequestError: An id can't be right. Nothing was sent.
            ConfigurationError: The client is closed or belongs to another event loop. If it was closed between two
                attempts, the `__cause__` is the failure of the last one.
            ConnectError: No connection could be made.
            AmbiguousRequestError: The response to a request that isn't idempotent was lost.
            RequestTimeoutError: No response came in time.
            TransportError: The response was lost.
            APIError: The server refused or failed; a subclass says how.
        """
        return self.run_attempts(endpoint, self._make_request(endpoint, ids or {}, query or {}, json))

    def may_be_handed_out(self, url: str) -> bool:
        """Whether the API may have the client send to a URL."""
        return may_be_handed_out(url, self.base_url)

    async def health(self) -> Response:
        """Read the service's health at the host's root, without the key (contract §1, observed)."""
        request = self._make_request(_HEALTH, {}, {}, None)
        url = self.base_url.origin().with_path(HEALTH_PATH)
        return await self.run_attempts(_HEALTH, evolve(request, url=url, origin_headers=self.headers))

    async def stream(
        self,
        endpoint: Endpoint,
        *,
        ids: Mapping[str, str],
        idle_timeout: float,
        headers: Mapping[str, str],
        origin_headers: Mapping[str, str] = _NO_HEADERS,
    ) -> BodyStream:
        """Open an event stream in one attempt; the caller reconnects."""
        request = self._make_request(endpoint, ids, {}, None)
        request = evolve(
            request,
            origin_headers={**request.origin_headers, **origin_headers},
            # With compression a proxy would hold events back until it has a block of them.
            headers={**request.headers, "Accept": "text/event-stream", "Accept-Encoding": "identity", **headers},
            idle_timeout=idle_timeout,
            unpacks=False,
            read_buffer=_STREAM_BUFFER,
            new_connection=True,  # the server closes it after the stream (contract §4), so it isn't worth pooling
        )
        response = await self.open_response(request, is_event_stream=True)
        return self._make_body_stream(request, response, _take_over_idle_timeout(request, response))

    def trace_call(self, endpoint: Endpoint, *, ids: Mapping[str, str]) -> CallTrace:
        """Begin the trace of a call whose attempts the caller makes, with `download`."""
        request = self._make_request(endpoint, ids, {}, None)
        return self.tracing.start_call(request.method, request.template, request.url, request.task_id)

    async def download(
        self,
        endpoint: Endpoint,
        *,
        ids: Mapping[str, str],
        headers: Mapping[str, str],
        origin_headers: Mapping[str, str] = _NO_HEADERS,
        accept: Container[int] = SUCCESS,
    ) -> BodyStream:
        """Open a body that is read as it comes, in one attempt; the caller tries again."""
        request = self._make_request(endpoint, ids, {}, None)
        # Lengths and ranges are those of the bytes that are sent, so these must be the file's own.
        own = {**request.headers, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        request = evolve(
            request,
            headers=own,
            origin_headers={**request.origin_headers, **origin_headers},  # no variable: tracebacks show those
            unpacks=False,
            read_buffer=_DOWNLOAD_BUFFER,
        )
        response = await self.open_response(request, accept)
        return self._make_body_stream(request, response, coding=coding_of(response))

    async def upload(self, endpoint: Endpoint, body: Body, *, ids: Mapping[str, str], content_type: str) -> Response:
        """Send a body to an endpoint as it is read, from its start again when an attempt fails."""
        request = self._make_request(endpoint, ids, {}, None)
        headers = {**request.headers, "Content-Type": content_type, "Content-Length": str(body.size)}
        return await self._send_body(endpoint, evolve(request, headers=headers), body)

    async def put(self, target: UploadTarget, body: Body, *, content_type: str) -> None:
        """Send a body to a signed URL: with its content type and length, without the key and anything else."""
        request = Request(
            method=_SIGNED_PUT.method,
            template=_SIGNED_PUT.template,
            url=read_signed_url(target.upload_url),
            headers={"Content-Type": content_type, "Content-Length": str(body.size)},
            origin_headers={},
            exact_headers=True,
            connect_timeout=self.timeouts.connect,
            idle_timeout=self.timeouts.read,
        )
        await self._send_body(_SIGNED_PUT, request, body)

    async def _send_body(self, endpoint: Endpoint, request: Request, body: Body) -> Response:
        streamed = StreamedBody(body, self.counters, finite(request.idle_timeout))
        return await self.run_attempts(endpoint, evolve(request, body=streamed))

    def _make_request(
        self,
        endpoint: Endpoint,
        ids: Mapping[str, str],
        query: Mapping[str, str | int],
        json: Any,
    ) -> Request:
        # Built as a string: yarl caches how it parses strings.
        url = URL(self._prefix + endpoint.path(**ids), encoded=True)
        try:
            body = None if json is None else wire_json.dumps(json)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the request can't be written as JSON: {error}") from error
        headers = _HEADERS if body is None else _JSON_HEADERS
        idle_timeout = self.timeouts.read if endpoint.idempotent else self.timeouts.create
        guarded: bytes | StreamedBody | None = body
        if body is not None and self.may_send is not None:
            guarded = StreamedBody(_GuardedBody(body, self.may_send), self.counters, finite(idle_timeout))
            headers = {**headers, "Content-Length": str(len(body))}
        return Request(
            method=endpoint.method,
            template=endpoint.template,
            task_id=ids.get("task_id"),
            url=url.with_query(query) if query else url,
            headers=headers,
            origin_headers=self._origin_headers,
            body=guarded,
            new_connection=not endpoint.idempotent,
            connect_timeout=self.timeouts.connect,
            idle_timeout=idle_timeout,
        )

    def _make_body_stream(
        self,
        request: Request,
        response: ClientResponse,
        idle_timeout: float | None = None,
        coding: str | None = None,
    ) -> BodyStream:
        self.sessions.reject_if_closed(response)
        try:
            unpacker = None if coding is None else Unpacker(coding)
        except UnpackingError as error:
            response.close()
            raise TransportError(f"GET {redact_url(request.url)}: the server sent {error}", method="GET") from None
        return BodyStream(response, request.url, self.counters, self.sessions.bodies, idle_timeout, unpacker)


def _take_over_idle_timeout(request: Request, response: ClientResponse) -> float | None:
    """Have the connection of a stream wait for rare and small pieces at little cost.

    The watchdog then holds the idle timeout that is returned, and aiohttp no longer; None if there is none to hold.
    """
    connection = response.connection
    if connection is None or connection.protocol is None:
        return None  # the whole body has come already
    read_in_small_pieces(connection.transport)
    if finite(request.idle_timeout) is None:
        return None
    disable_read_timeout(connection)
    return request.idle_timeout
