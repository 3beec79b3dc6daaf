"""Calls and streams over HTTP: attempt, decide, wait."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import Factory, evolve, field, frozen
from yarl import URL

from rebyte_async._retry import Outcome, next_delay
from rebyte_async._transport.answer import Answer, ByteStream
from rebyte_async._transport.exchange import Request, finite, send
from rebyte_async._transport.origin import RedirectRefusedError, shown
from rebyte_async._transport.outgoing import Body, Outgoing, Signed
from rebyte_async._transport.server_clock import ServerClock
from rebyte_async._transport.stats import Counters
from rebyte_async._transport.throttle import ClientThrottle, RetryBudget, Throttle
from rebyte_async._transport.translate import is_foreign, translate
from rebyte_async._transport.tuning import read_in_small_pieces
from rebyte_async._version import __version__
from rebyte_async._wire import json as wire_json
from rebyte_async._wire.endpoints import API_KEY_HEADER, HEALTH_PATH, Endpoint
from rebyte_async._wire.errors import api_error
from rebyte_async.errors import (
    AmbiguousRequestError,
    APIError,
    ConfigurationError,
    ConnectError,
    InvalidRequestError,
    RateLimitedError,
    RebyteError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from aiohttp import ClientResponse

    from rebyte_async._clock import Time
    from rebyte_async._settings import RetryPolicy, Timeouts
    from rebyte_async._transport.connections import Connections

__all__ = ["Transport"]

_log = logging.getLogger("rebyte_async")
_USER_AGENT = f"rebyte-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
_HEADERS = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
_HEADERS_OF_JSON = {**_HEADERS, "Content-Type": "application/json"}
_HEALTH = Endpoint("GET", HEALTH_PATH)
_SIGNED_PUT = Endpoint("PUT", "a signed URL")
_SUCCESS = range(200, 300)
_STREAM_BUFFER = 16 * 1024
"""aiohttp's read buffer for an event stream, in bytes: its default holds 430 KB of a stream that nobody reads."""
_DOWNLOAD_BUFFER = 1024 * 1024
"""The same for a download: small blocks cost a third of its speed."""


@frozen(eq=False, kw_only=True)
class Transport:
    """A client's way to the API. Views of it differ in settings and share the rest."""

    base: URL
    key: str = field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    connections: Connections
    private: Mapping[str, str] = field(
        default=Factory(lambda self: self.secrets(), takes_self=True), init=False, repr=False
    )
    """What goes to the API's origin alone."""
    root: str = field(default=Factory(lambda self: str(self.base).rstrip("/"), takes_self=True), init=False)
    """What stands before every path."""
    time: Time
    throttle: Throttle = field(default=Factory(lambda self: ClientThrottle(self.time), takes_self=True))
    retry_budget: RetryBudget = field(factory=RetryBudget)
    counters: Counters = field(factory=Counters)
    server_clock: ServerClock = field(default=Factory(lambda self: ServerClock(self.time), takes_self=True))

    def secrets(self) -> Mapping[str, str]:
        """The headers that only the API's origin may see."""
        return {**self.headers, API_KEY_HEADER: self.key}

    def with_settings(self, **changes: Any) -> Transport:
        """Return a transport with other settings that shares everything else with this one."""
        return evolve(self, **changes)

    async def call(
        self,
        endpoint: Endpoint,
        *,
        ids: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Carry out an operation, with as many attempts as are safe and allowed.

        Raises:
            InvalidRequestError: An id can't be right. Nothing was sent.
            ConfigurationError: The client is closed or belongs to another event loop. Where it was closed between two
                attempts, the `__cause__` is what the last one met.
            ConnectError: No connection could be made.
            AmbiguousRequestError: The answer to a request that must not be repeated was lost.
            RequestTimeoutError: No answer came in time.
            TransportError: The answer was lost.
            APIError: The server refused or failed; a subclass says how.
        """
        request = self._request(endpoint, ids or {}, query or {}, json)
        await self.connections.ready()
        try:
            return await self._attempts(endpoint, request)
        except RebyteError as error:
            error.task_id = error.task_id or (ids or {}).get("task_id")
            raise

    async def health(self) -> Answer:
        """Read the service's health at the host's root, without the key (contract §1, observed)."""
        request = evolve(
            self._request(_HEALTH, {}, {}, None), url=self.base.origin().with_path(HEALTH_PATH), private=self.headers
        )
        await self.connections.ready()
        return await self._attempts(_HEALTH, request)

    async def _attempts(self, endpoint: Endpoint, request: Request) -> Answer:
        attempt, doubt = 0, False
        self.counters.in_flight += 1
        try:
            while True:
                attempt += 1
                try:
                    answer = await self._attempt(request, attempt)
                except (TransportError, APIError) as error:
                    if doubt and isinstance(error, APIError) and error.status in endpoint.success_on_retry:
                        return Answer(error.status, b"", request.method, request.url)
                    failure = error
                else:
                    self.retry_budget.refund()
                    return answer
                outcome = _outcome(failure)
                doubt = doubt or not outcome.was_not_processed
                await self._back_off(endpoint, request, outcome, failure, attempt)
        finally:
            self.counters.in_flight -= 1

    async def _back_off(
        self, endpoint: Endpoint, request: Request, outcome: Outcome, failure: TransportError | APIError, attempt: int
    ) -> None:
        """Wait for the next attempt, or raise where there is none."""
        delay = next_delay(self.retry, attempt, outcome, idempotent=endpoint.idempotent, rng=self.time.rng)
        if isinstance(failure, RateLimitedError):
            self._pause_all(failure, delay)
        if delay is None or not self.retry_budget.spend(self.retry):
            _give_up(endpoint, request, outcome, failure, attempt)
        _log.debug("%s %s: attempt %d failed, next in %.2f s", endpoint.method, endpoint.template, attempt, delay)
        self.counters.retries += 1
        try:
            await self.time.sleep(delay)
        except ConfigurationError as closed:
            raise closed from failure

    def _pause_all(self, error: RateLimitedError, delay: float | None) -> None:
        """One 429 pauses the whole client, for as long as the server asks within what the policy waits out."""
        seconds = error.retry_after if error.retry_after is not None else delay
        if seconds is not None and seconds <= self.retry.max_retry_after:
            self.throttle.pause(seconds)

    async def _attempt(self, request: Request, attempt: int) -> Answer:
        permits = self.connections.permits
        if not permits.try_acquire():
            await permits.acquire()
        try:
            if not self.throttle.is_open:  # looked at after the wait for a permit, in which a pause may have begun
                await self.throttle.wait_until_open()
            answer = await self._answered(request, attempt)
        finally:
            permits.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _answered(self, request: Request, attempt: int) -> Answer | RebyteError:
        """Give the answer, or the error for it: not raised here, where a traceback would hold on to the response.

        Tracebacks are shown with the variables of their functions, and a response writes its whole URL.
        """
        response = await self._send(request, attempt)
        try:
            if response.content.is_eof():
                body = await response.read()
            else:
                # The socket's timeout ends a silence; this ends a body that trickles for ever.
                with self.connections.reading(response):
                    async with asyncio.timeout(finite(request.silence)):
                        body = await response.read()
        except BaseException as error:
            response.close()  # one that was read to its end has given its connection back
            if not is_foreign(error):
                raise
            failure = translate(error, request.method, request.url)
            if isinstance(failure, TransportError):
                failure.attempts = attempt
            return failure
        self.counters.bytes_received += len(body)
        if response.status in _SUCCESS:
            return Answer(response.status, body, request.method, request.url)
        return self._error(request, response, body, attempt)

    async def _send(self, request: Request, attempt: int) -> ClientResponse:
        failure: Exception
        body = request.body if isinstance(request.body, Outgoing) else None
        try:
            sending = self._timed(request, body) if body else send(request, self.connections, self.counters)
            response = await sending
        except RedirectRefusedError as error:
            failure = APIError(error.status, None, str(error), request.method, shown(request.url), attempts=attempt)
        except Exception as error:
            if not is_foreign(error):
                raise
            failure = translate(error, request.method, request.url)
            if isinstance(failure, TransportError):
                failure.attempts = attempt
        else:
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("%s %s: %d", request.method, request.url.path, response.status)
            if not request.bare and response.status in _SUCCESS:  # else it may be a gateway's, whose clock is its own
                self.server_clock.note(response.headers.get("Date"))
            return response
        if body is not None and body.failure is not None:
            failure = body.failure
        raise failure

    async def _timed(self, request: Request, body: Outgoing) -> ClientResponse:
        """Send a body that is read as it goes out: the deadline moves on with it."""
        async with asyncio.timeout(finite(request.connect + request.silence)) as body.timer:
            return await send(request, self.connections, self.counters)

    def _error(self, request: Request, response: ClientResponse, body: bytes, attempt: int) -> APIError:
        text = body.decode(errors="replace").replace(self.key, "…")
        return api_error(
            status=response.status,
            headers=response.headers,
            text=text,
            document=_document(text),
            method=request.method,
            url=shown(request.url),
            attempts=attempt,
            now=datetime.fromtimestamp(self.time.wall(), UTC),
        )

    async def stream(
        self, endpoint: Endpoint, *, ids: Mapping[str, str], idle: float, headers: Mapping[str, str]
    ) -> ByteStream:
        """Open an event stream in one attempt; the caller reconnects.

        Raises:
            InvalidRequestError, ConfigurationError, ConnectError, TransportError, APIError: As for `call`.
        """
        request = self._request(endpoint, ids, {}, None)
        # Compression would make a proxy hold events back until it has a block of them.
        own = {**request.headers, "Accept": "text/event-stream", "Accept-Encoding": "identity", **headers}
        # The server closes the connection behind the stream (contract §4), so it is none to keep.
        request = evolve(request, headers=own, silence=idle, buffer=_STREAM_BUFFER, fresh=True)
        response = await self._open(request, pages=False)
        return self._byte_stream(request, response, self._tune(request, response))

    @staticmethod
    def _tune(request: Request, response: ClientResponse) -> float | None:
        """Have a connection wait for rare and small pieces at little cost.

        Returns:
            How long it may be silent, where that isn't aiohttp's matter any more.
        """
        connection = response.connection
        if connection is None or connection.protocol is None:
            return None  # the whole body has come already
        read_in_small_pieces(connection.transport)
        if finite(request.silence) is None:
            return None
        connection.protocol.read_timeout = None
        connection.protocol.start_timeout()  # drops the one that runs
        return request.silence

    async def download(
        self,
        endpoint: Endpoint,
        *,
        ids: Mapping[str, str],
        headers: Mapping[str, str],
        accept: Container[int] = _SUCCESS,
    ) -> ByteStream:
        """Open a body that is read as it comes, in one attempt; the caller tries again.

        Raises:
            InvalidRequestError, ConfigurationError, ConnectError, TransportError, APIError: As for `call`; statuses in
                `accept` are no errors.
        """
        request = self._request(endpoint, ids, {}, None)
        # Lengths and ranges are those of the bytes that travel, so they must be the file's own.
        own = {**request.headers, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        request = evolve(request, headers=own, buffer=_DOWNLOAD_BUFFER)
        return self._byte_stream(request, await self._open(request, accept))

    def _byte_stream(self, request: Request, response: ClientResponse, silence: float | None = None) -> ByteStream:
        self.connections.check_open(response)
        return ByteStream(response, request.url, self.counters, self.connections.streams, silence)

    async def _open(self, request: Request, accept: Container[int] = _SUCCESS, *, pages: bool = True) -> ClientResponse:
        await self.connections.ready()
        await self.throttle.wait_until_open()
        opened = await self._opened(request, accept, pages=pages)
        if isinstance(opened, Exception):
            raise opened
        return opened

    async def _opened(
        self, request: Request, accept: Container[int], *, pages: bool
    ) -> ClientResponse | TransportError | APIError:
        """Give the response, or the error for it, as `_answered` does."""
        response = await self._send(request, 1)
        if response.status not in accept:
            return await self._refusal(request, response)
        # `content_type` would keep what it has parsed for as long as the stream.
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if pages or kind.strip().lower() != "text/html":
            return response
        response.close()
        return _unexpected(request, "a page of HTML came instead of an event stream")

    async def upload(self, endpoint: Endpoint, body: Body, *, ids: Mapping[str, str], content_type: str) -> Answer:
        """Send a body to an endpoint as it is read, again from its start when an attempt fails.

        Raises:
            Exception: What the body's source raises.
            InvalidRequestError, ConfigurationError, ConnectError, TransportError, APIError: As for `call`.
        """
        request = self._request(endpoint, ids, {}, None)
        headers = {**request.headers, "Content-Type": content_type, "Content-Length": str(body.size)}
        return await self._upload(endpoint, evolve(request, headers=headers), body)

    async def put(self, target: Signed, body: Body, *, content_type: str) -> None:
        """Send a body to a signed URL: with its content type and length, without the key and anything else.

        Raises:
            Exception: What the body's source raises.
            ConfigurationError, ConnectError, TransportError, APIError: As for `call`.
        """
        request = Request(
            method=_SIGNED_PUT.method,
            url=URL(target.upload_url, encoded=True),
            headers={"Content-Type": content_type, "Content-Length": str(body.size)},
            private={},
            bare=True,
            connect=self.timeouts.connect,
            silence=self.timeouts.read,
        )
        await self._upload(_SIGNED_PUT, request, body)

    async def _upload(self, endpoint: Endpoint, request: Request, body: Body) -> Answer:
        await self.connections.ready()
        outgoing = Outgoing(body, self.counters, finite(request.silence))
        return await self._attempts(endpoint, evolve(request, body=outgoing))

    async def _refusal(self, request: Request, response: ClientResponse) -> TransportError | APIError:
        """The error for an answer that isn't what was asked for."""
        try:
            with self.connections.reading(response):
                async with asyncio.timeout(finite(self.timeouts.read)):
                    body = await response.read()
        except Exception as error:
            if not is_foreign(error):
                raise
            body = b""
        finally:
            response.close()
        if response.status in _SUCCESS:
            return _unexpected(request, f"the unexpected status {response.status}")
        failure = self._error(request, response, body, 1)
        if isinstance(failure, RateLimitedError):
            self._pause_all(failure, self.retry.base_delay)
        return failure

    def _request(
        self,
        endpoint: Endpoint,
        ids: Mapping[str, str],
        query: Mapping[str, str | int],
        json: Mapping[str, Any] | None,
    ) -> Request:
        # yarl keeps what it knows of an address that was asked for lately, if it is given as a string.
        url = URL(self.root + endpoint.path(**ids), encoded=True)
        body, headers = None, _HEADERS
        if json is not None:
            body, headers = _written(json), _HEADERS_OF_JSON
        return Request(
            method=endpoint.method,
            url=url.with_query(query) if query else url,
            headers=headers,
            private=self.private,
            body=body,
            fresh=not endpoint.idempotent,
            connect=self.timeouts.connect,
            silence=self.timeouts.read if endpoint.idempotent else self.timeouts.create,
        )


def _written(json: Mapping[str, Any]) -> bytes:
    try:
        return wire_json.dumps(json)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the request can't be written as JSON: {error}") from error


def _unexpected(request: Request, what: str) -> TransportError:
    return TransportError(f"GET {shown(request.url)}: {what}", method="GET", url=shown(request.url))


def _document(text: str) -> Any:
    try:
        return wire_json.loads(text)
    except ValueError:
        return None


def _outcome(error: TransportError | APIError) -> Outcome:
    if isinstance(error, APIError):
        return Outcome(sent=True, status=error.status, retry_after=error.retry_after)
    return Outcome(sent=not isinstance(error, ConnectError))


def _give_up(
    endpoint: Endpoint, request: Request, outcome: Outcome, failure: TransportError | APIError, attempts: int
) -> NoReturn:
    """Raise the failure, or the doubt that it leaves where the request must not be repeated."""
    if endpoint.idempotent or outcome.was_not_processed or not outcome.is_transient:
        raise failure
    raise AmbiguousRequestError(
        f"{request.method} {shown(request.url)} may or may not have been carried out, and repeating it could start a "
        f"second agent: {failure}",
        method=request.method,
        url=shown(request.url),
        attempts=attempts,
    ) from failure
