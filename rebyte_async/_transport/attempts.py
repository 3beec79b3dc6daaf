"""The attempts of a request: attempt, decide, wait, give up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import Factory, define, evolve, field

from rebyte_async._clock import Time
from rebyte_async._retry import Outcome, next_delay
from rebyte_async._settings import RetryPolicy, Timeouts
from rebyte_async._tracing import CallTrace, Tracer, Tracing
from rebyte_async._transport.aiohttp_internals import close_now
from rebyte_async._transport.errors import hide_frames, is_transport_failure, translate
from rebyte_async._transport.request import Request, StreamedBody, finite, send_following_redirects
from rebyte_async._transport.response import Response, coding_of, read_at_most
from rebyte_async._transport.server_clock import ServerClock
from rebyte_async._transport.sessions import SessionPool
from rebyte_async._transport.throttle import ClientThrottle, Counters, RetryBudget, Throttle
from rebyte_async._transport.unpacking import unpack_start
from rebyte_async._transport.urls import RedirectRefusedError, redact_url
from rebyte_async._wire import json as wire_json
from rebyte_async._wire.endpoints import Endpoint
from rebyte_async._wire.errors import api_error, read_request_id
from rebyte_async.errors import (
    AmbiguousRequestError,
    APIError,
    ConfigurationError,
    ConnectError,
    DecodeError,
    RateLimitedError,
    RebyteError,
    TransportError,
)
from rebyte_async.types.service import ResponseInfo

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_log = logging.getLogger("rebyte_async")

SUCCESS = range(200, 300)  # the statuses of success


@define(eq=False, repr=False, kw_only=True, slots=False)
class Attempts:
    """The settings of a client and what its calls share, and the attempts that are made with them.

    A failure is returned, not raised, by the functions that hold a response: tools show tracebacks with the variables
    of each function, and a response shows its whole URL, which may be a signed one.
    """

    api_key: str = field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    sessions: SessionPool
    time: Time
    max_response_bytes: int = 64 * 1024 * 1024
    on_response: Callable[[ResponseInfo], object] | None = None
    throttle: Throttle = field(default=Factory(lambda self: ClientThrottle(self.time), takes_self=True))
    retry_budget: RetryBudget = field(factory=RetryBudget)
    counters: Counters = field(factory=Counters)
    tracing: Tracing = field(factory=Tracing)
    server_clock: ServerClock = field(default=Factory(lambda self: ServerClock(self.time), takes_self=True))

    def run_attempts(self, endpoint: Endpoint, request: Request) -> Coroutine[Any, Any, Response]:
        """Make as many attempts as are safe and allowed, and return the first success."""
        tracer = self.tracing.tracer
        return self._run_attempts(endpoint, request) if tracer is None else self._run_traced(tracer, endpoint, request)

    async def _run_traced(self, tracer: Tracer, endpoint: Endpoint, request: Request) -> Response:
        body = request.body if isinstance(request.body, bytes) else None
        with tracer.start_call(request.method, request.template, request.url, request.task_id, body) as trace:
            with trace.active():
                response = await self._run_attempts(endpoint, _add_trace(request, trace))
            trace.on_response(response.status, response.body)
            return response

    async def _run_attempts(self, endpoint: Endpoint, request: Request) -> Response:
        attempt = 0
        may_be_processed = False
        self.counters.in_flight += 1
        try:
            await self.sessions.open()
            while True:
                attempt += 1
                try:
                    response = await self._attempt(request, attempt)
                except (TransportError, APIError) as error:
                    if may_be_processed and isinstance(error, APIError) and error.status in endpoint.success_on_retry:
                        return Response(error.status, b"", request.method, request.url)
                    failure = error
                except DecodeError as error:
                    if endpoint.idempotent:
                        raise
                    raise _ambiguous(request, error.message, attempt) from error
                else:
                    self.retry_budget.refund()
                    return response
                status = failure.status if isinstance(failure, APIError) else None
                retry_after = failure.retry_after if isinstance(failure, APIError) else None
                outcome = Outcome(not isinstance(failure, ConnectError), status, retry_after)
                may_be_processed = may_be_processed or not outcome.was_not_processed
                await self._back_off(endpoint, request, outcome, failure, attempt)
        except RebyteError as error:
            error.task_id = error.task_id or request.task_id
            raise
        finally:
            self.counters.in_flight -= 1

    async def open_response(
        self, request: Request, accept: Container[int] = SUCCESS, *, is_event_stream: bool = False
    ) -> ClientResponse:
        """Make one attempt, and return its response with the body unread.

        A status that isn't in `accept` is an error. If an event stream is expected, so are any other media type, such
        as some gateway's page, and a compressed body, of which a small one could take all memory.
        """
        await self.sessions.open()
        await self.throttle.wait_until_open()
        try:
            response = await self._open(request, accept, is_event_stream=is_event_stream)
        except asyncio.CancelledError as cancelled:
            hide_frames(cancelled)
            raise
        if isinstance(response, Exception):
            raise response
        return response

    async def _attempt(self, request: Request, attempt: int) -> Response:
        """Make one attempt: with a permit, and while the client isn't paused."""
        permits = self.sessions.permits
        if not permits.try_acquire():
            await permits.acquire()
        try:
            if not self.throttle.is_open:  # checked after the wait for a permit, during which a pause may have begun
                await self.throttle.wait_until_open()
            response = await self._exchange(request, attempt)
        except asyncio.CancelledError as cancelled:
            hide_frames(cancelled)
            raise
        finally:
            permits.release()
        if isinstance(response, Exception):
            raise response
        return response

    async def _back_off(
        self, endpoint: Endpoint, request: Request, outcome: Outcome, failure: TransportError | APIError, attempt: int
    ) -> None:
        """Wait for the next attempt, or give up if there is to be none."""
        delay = next_delay(self.retry, attempt, outcome, idempotent=endpoint.idempotent, rng=self.time.rng)
        if isinstance(failure, RateLimitedError):
            self._pause_client(failure, delay)
        if delay is None or not self.retry_budget.spend(self.retry):
            _give_up(endpoint, request, outcome, failure)
        what = (endpoint.method, endpoint.template, attempt, delay, failure)
        _log.info("%s %s: attempt %d failed, the next one in %.2f s: %s", *what)
        self.counters.retries += 1
        request.trace.on_retry(failure, attempt, delay)
        try:
            await self.time.sleep(delay)
        except ConfigurationError as closed:
            raise closed from failure

    def _pause_client(self, error: RateLimitedError, delay: float | None) -> None:
        """Pause all calls after a 429, for as long as the server asks within what the policy waits out."""
        seconds = error.retry_after if error.retry_after is not None else delay
        if seconds is not None and seconds <= self.retry.max_retry_after:
            self.throttle.pause(seconds)

    async def _exchange(self, request: Request, attempt: int) -> Response | RebyteError:
        """Send a request and read its response whole."""
        response = await self._send(request, attempt)
        try:
            body: bytes | None
            if response.content.is_eof():  # it has come whole with its head, as most have
                body = response.content.read_nowait(-1)
                body = body if len(body) <= self.max_response_bytes else None
            else:
                # aiohttp's read timeout ends a silence; this one ends a body that trickles forever.
                with self.sessions.close_with_client(response):
                    async with asyncio.timeout(finite(request.idle_timeout)):
                        body = await read_at_most(response, self.max_response_bytes)
        except BaseException as error:
            close_now(response)  # a response that was read to its end has given its connection back
            if not is_transport_failure(error):
                raise
            return translate(error, request.method, request.url, attempt)
        self.counters.bytes_received += len(body or b"")
        if body is None and response.status in SUCCESS:
            limit = f"max_response_bytes, {self.max_response_bytes:,}"
            return DecodeError(f"{request.method} {redact_url(request.url)}: the response is longer than {limit}")
        body = body or b""
        if response.status in SUCCESS:
            headers = response.headers.copy()  # which pickles, unlike aiohttp's view
            return Response(response.status, body, request.method, request.url, headers)
        return self._make_api_error(request, response, body, attempt)

    async def _send(self, request: Request, attempt: int) -> ClientResponse:
        failure: Exception
        began = self.time.clock()
        body = request.body if isinstance(request.body, StreamedBody) else None
        try:
            if body is None:
                response = await send_following_redirects(request, self.sessions, self.counters)
            else:
                response = await self._send_streamed(request, body)
        except RedirectRefusedError as error:
            url = redact_url(request.url)
            failure = APIError(error.status, None, str(error), request.method, url, attempts=attempt)
        except Exception as error:
            if not is_transport_failure(error):
                raise
            failure = translate(error, request.method, request.url, attempt)
        else:
            if _log.isEnabledFor(logging.DEBUG):
                place = request.template if request.exact_headers else request.url.path  # a signed URL isn't shown
                _log.debug("%s %s: %d", request.method, place, response.status)
            # An error may come from a gateway, and a signed URL is a storage's: both have other clocks.
            if response.status in SUCCESS and not request.exact_headers:
                self.server_clock.note(response.headers.get("Date"))
            if self.on_response is not None:
                self._report_response(self.on_response, request, response, attempt, self.time.clock() - began)
            return response
        if body is not None:
            body.raise_failure()
        raise failure

    def _report_response(
        self,
        report: Callable[[ResponseInfo], object],
        request: Request,
        response: ClientResponse,
        attempt: int,
        elapsed: float,
    ) -> None:
        info = ResponseInfo(
            method=request.method,
            path=request.template,
            status=response.status,
            headers=response.headers.copy(),
            request_id=read_request_id(response.headers),
            attempt=attempt,
            elapsed=elapsed,
            task_id=request.task_id,
        )
        try:
            report(info)
        except Exception:  # noqa: BLE001 - whatever it raises, the call has its response
            _log.exception("on_response failed for %s %s", request.method, request.template)

    async def _send_streamed(self, request: Request, body: StreamedBody) -> ClientResponse:
        """Send a body that is read on the way, with a deadline that each chunk moves on."""
        async with asyncio.timeout(finite(request.connect_timeout + request.idle_timeout)) as body.deadline:
            return await send_following_redirects(request, self.sessions, self.counters)

    async def _open(
        self, request: Request, accept: Container[int], *, is_event_stream: bool
    ) -> ClientResponse | TransportError | APIError:
        response = await self._send(request, 1)
        if response.status not in accept:
            return await self._error_from_response(request, response)
        # `response.content_type` would keep what it has parsed for as long as the stream.
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        is_other = content_type != "text/event-stream"
        if not is_event_stream or not (is_other or coding_of(response)):
            return response
        response.close()
        kind = "a page of HTML" if content_type == "text/html" else f"a response of the type {content_type!r:.80}"
        what = f"{kind} came instead of an event stream" if is_other else "a compressed event stream came"
        return _make_response_error(request, what)

    async def _error_from_response(self, request: Request, response: ClientResponse) -> TransportError | APIError:
        """Return the error for a response whose status isn't accepted, and read the reason in its body if possible."""
        try:
            with self.sessions.close_with_client(response):
                async with asyncio.timeout(finite(self.timeouts.read)):
                    body = await read_at_most(response, self.max_response_bytes) or b""
            if not request.unpacks and (coding := coding_of(response)) is not None:
                body = unpack_start(body, coding)
        except Exception as error:
            if not is_transport_failure(error):
                raise
            body = b""
        finally:
            response.close()
        if response.status in SUCCESS:
            return _make_response_error(request, f"the unexpected status {response.status}")
        failure = self._make_api_error(request, response, body, 1)
        if isinstance(failure, RateLimitedError):
            self._pause_client(failure, self.retry.base_delay)
        return failure

    def _make_api_error(self, request: Request, response: ClientResponse, body: bytes, attempt: int) -> APIError:
        text = body.decode(errors="replace").replace(self.api_key, "…")  # a server may echo the key
        document: Any = None
        with suppress(ValueError):
            document = wire_json.loads(text)
        return api_error(
            status=response.status,
            headers=response.headers,
            text=text,
            document=document,
            method=request.method,
            url=redact_url(request.url),
            attempts=attempt,
            now=_read_date(response.headers.get("Date")) or datetime.fromtimestamp(self.time.wall(), UTC),
        )


def _add_trace(request: Request, trace: CallTrace) -> Request:
    headers = {} if request.exact_headers else trace.headers  # a signed URL is a storage's
    return evolve(request, trace=trace, origin_headers={**request.origin_headers, **headers})


def _give_up(endpoint: Endpoint, request: Request, outcome: Outcome, failure: TransportError | APIError) -> NoReturn:
    """Raise the failure; for a request that may have been processed and isn't idempotent, as an ambiguous one."""
    if endpoint.idempotent or not outcome.is_ambiguous:
        raise failure
    raise _ambiguous(request, str(failure), failure.attempts) from failure


def _ambiguous(request: Request, reason: str, attempts: int) -> AmbiguousRequestError:
    url = redact_url(request.url)
    return AmbiguousRequestError(
        f"{request.method} {url} may or may not have been carried out, and repeating it could start a second agent: "
        f"{reason}",
        method=request.method,
        url=url,
        attempts=attempts,
    )


def _read_date(header: str | None) -> datetime | None:
    """Read the `Date` of a response, by whose clock its `Retry-After` is meant."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, and few responses need it

    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _make_response_error(request: Request, what: str) -> TransportError:
    url = redact_url(request.url)
    return TransportError(f"GET {url}: {what}", method="GET", url=url)
