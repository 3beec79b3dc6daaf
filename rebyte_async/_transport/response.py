"""Responses to requests: one that is read whole, or a body that is read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from yarl import URL

from rebyte_async._transport import aiohttp_internals
from rebyte_async._transport.errors import is_transport_failure, translate
from rebyte_async._transport.throttle import Counters
from rebyte_async._transport.unpacking import PACKED, Unpacker, UnpackingError
from rebyte_async._transport.urls import redact_url
from rebyte_async._wire import models
from rebyte_async._wire.errors import read_request_id
from rebyte_async.errors import RebyteError, TransportError

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_SWEEPS = 16  # how often the watchdog looks at the bodies within the shortest idle timeout
_LONGEST_SWEEP_INTERVAL = 5.0  # seconds: a sweep also finds a body whose connection aiohttp has closed silently


async def read_at_most(response: ClientResponse, limit: int) -> bytes | None:
    """Read a body, unpacked; None for one of more than `limit` bytes, of which not much more is held."""
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            response.close()
            return None
    return b"".join(pieces)


def coding_of(response: ClientResponse) -> str | None:
    """Return the compression of a body; None for a body that isn't compressed."""
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    return coding if coding in PACKED else None


_NO_HEADERS: Mapping[str, str] = {}


@frozen(repr=False)
class Response:
    """A successful response, read to its end."""

    status: int
    """The HTTP status."""
    body: bytes
    """The body, unpacked."""
    method: str
    """The request's method."""
    _url: URL  # a signed one holds an authorization
    headers: Mapping[str, str] = field(default=_NO_HEADERS, eq=False)
    """The headers, whose names may be written in any case."""

    @property
    def url(self) -> str:
        """The request's URL without its query."""
        return redact_url(self._url)

    @property
    def request_id(self) -> str | None:
        """The server's id of the request; None when it sent none."""
        return read_request_id(self.headers)

    def __repr__(self) -> str:
        return f"<Response {self.status} of {self.method} {self.url}: {len(self.body):,} bytes>"

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            DecodeError: The body is no JSON, or empty.
        """
        return models.parse(self.body, lambda: f"{self.method} {self.url}")


@define(eq=False, repr=False, weakref_slot=False)
class BodyStream:
    """The body of a response, read as it comes. `close` it, or its connection stays open."""

    _response: ClientResponse = field(repr=False)  # its repr shows the request's URL, which may be a signed one
    _url: URL = field(repr=False)
    _counters: Counters
    _watchdog: IdleWatchdog = field(repr=False)
    idle_timeout: float | None = None
    """Seconds without a byte after which the body fails; None if aiohttp's own read timeout does it, or no limit."""
    _unpacker: Unpacker | None = field(default=None, repr=False)
    read_raw: Callable[[], Coroutine[Any, Any, bytes]] = field(init=False, repr=False)
    """Returns the next bytes without translating aiohttp's errors, nor unpacking: `read` raises the same ones after.

    It saves a coroutine for each live event.
    """
    _seen: int = field(default=-1, init=False)  # how many bytes had arrived at the last change that a sweep saw
    _seen_at: float = field(default=0.0, init=False)  # when a sweep saw that change, on the event loop's clock

    def __attrs_post_init__(self) -> None:
        self._counters.open_streams += 1
        aiohttp_internals.read_leanly(self._response.content)
        self.read_raw = self._response.content.readany
        self._watchdog.add(self)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def is_unpacked(self) -> bool:
        """Whether the bytes that are read are others than those that are sent."""
        return self._unpacker is not None

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        return self._response.content.total_bytes

    async def read(self) -> bytes:
        """Return the next bytes as they come; empty at the end of the body. Cancelling loses nothing.

        Raises `TransportError` if the connection was lost, or was idle for too long (`RequestTimeoutError`).
        """
        failure: RebyteError
        try:
            data = await (self.read_raw() if self._unpacker is None else self._read_unpacked(self._unpacker))
        except UnpackingError as error:
            failure = TransportError(f"GET {redact_url(self._url)}: the server sent {error}", method="GET")
        except Exception as error:
            if not is_transport_failure(error):
                raise
            failure = translate(error, "GET", self._url)
        else:
            return data
        raise failure

    async def _read_unpacked(self, unpacker: Unpacker) -> bytes:
        while not (data := unpacker.take()):
            packed = await self.read_raw()
            if not packed:
                unpacker.finish()
                break
            unpacker.feed(packed)
        return data

    def check_idle(self, now: float) -> bool:
        """Fail the body if it has been idle for too long at `loop.time()`; True while it is to stay under watch."""
        content = self._response.content
        if content.is_eof() or content.exception() is not None:
            return False
        arrived = content.total_bytes
        # A body with unread bytes isn't idle, however long its reader takes.
        if arrived > self._seen or aiohttp_internals.has_unread_bytes(content):
            self._seen = arrived
            self._seen_at = now
            return True
        is_lost = aiohttp_internals.is_connection_gone(self._response)
        is_idle = self.idle_timeout is not None and now - self._seen_at >= self.idle_timeout
        if is_lost or is_idle:
            aiohttp_internals.fail_body(content, is_idle=not is_lost)
        return not (is_lost or is_idle)

    def close(self) -> None:
        """Close the connection. A `read` that waits in another task fails."""
        if self._watchdog.discard(self):
            self._counters.open_streams -= 1
            self._counters.bytes_received += self.received
            aiohttp_internals.close_now(self._response)


@define(eq=False, repr=False)
class IdleWatchdog:
    """The open bodies of a client. Fails those that bring no bytes for their idle timeout, and up to an eighth more.

    A body whose connection is gone fails within ten seconds, also one without an idle timeout: aiohttp doesn't fail
    it in every case.

    aiohttp's own read timeout starts a new timer whenever bytes arrive, which costs more than parsing an event. Here
    one timer for all bodies looks at what each has received since.
    """

    _bodies: dict[BodyStream, None] = field(factory=dict[BodyStream, None], init=False, repr=False)
    """A set of the open bodies; a `set` would take twice the memory."""
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def add(self, body: BodyStream) -> None:
        self._bodies[body] = None
        self._schedule_sweep(body.idle_timeout)

    def discard(self, body: BodyStream) -> bool:
        """Stop watching a body; False if it wasn't watched."""
        was_watched = body in self._bodies
        self._bodies.pop(body, None)
        return was_watched

    def close_all(self) -> None:
        for body in tuple(self._bodies):
            body.close()

    @property
    def received(self) -> int:
        return sum(body.received for body in tuple(self._bodies))  # a copy: metrics are read in threads

    def _schedule_sweep(self, idle_timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        seconds = _LONGEST_SWEEP_INTERVAL
        if idle_timeout is not None:
            seconds = min(seconds, idle_timeout / _SWEEPS)
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        timeouts = [body.idle_timeout for body in tuple(self._bodies) if body.check_idle(now)]
        if timeouts:
            self._schedule_sweep(min((timeout for timeout in timeouts if timeout is not None), default=None))
