"""Every part of aiohttp and asyncio that the package uses though it isn't public, and the workarounds built on them.

aiohttp has no public setting for any of this. Each function says why it is needed, and does nothing where the
installed version doesn't have the part, so that an unknown version costs speed, not correctness. Seen in Python 3.11
to 3.14 and aiohttp 3.14; `tests/transport/test_aiohttp_internals.py` says for each whether the installed one has it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from functools import cache, partial
from typing import Any, cast

SESSION_CLOSED_MESSAGES = frozenset({"Session is closed", "Connection closed."})
"""The messages of the RuntimeErrors that a closed session raises: they have no class that distinguishes them."""
_PIECE = 32 * 1024  # bytes: room for the longest TLS record, and more than a live stream brings at once


# Silent repeats: aiohttp sends a GET, PUT or DELETE once more, uncounted, if a pooled connection was lost. A repeated
# DELETE then looks like a 404.


def disable_implicit_retry(session: Any) -> bool:
    """Keep a session from repeating requests, as aiohttp's own test client does; False if it can't be done this way.

    `separate_failures` works with any session, but costs a tenth of a call.
    """
    if getattr(session, "_retry_connection", None) is not True:
        return False
    session._retry_connection = False  # noqa: SLF001 - the reason for this module
    return True


class ConnectionLostError(Exception):
    """A lost connection under a class that aiohttp doesn't know, so that it doesn't repeat the request."""


class ProxyFailedError(Exception):
    """A failure of a proxy before the request was sent, for which aiohttp has the same classes as for later ones."""


async def separate_failures(request: Any, handler: Any) -> object:
    """Keep a session from repeating a request, and single out a proxy's failures, as a client middleware."""
    translated: Exception
    try:
        return await handler(request)
    except Exception as error:
        import aiohttp  # noqa: PLC0415 - imported on first use

        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError | TimeoutError):
            raise
        if not isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
            raise
        # A request that is sent has a response at once, which is filled in later.
        if getattr(request, "proxy", None) is not None and getattr(request, "response", request) is None:
            translated = ProxyFailedError()
        elif isinstance(error, aiohttp.ClientResponseError):
            raise
        else:
            translated = ConnectionLostError(str(error))
        translated.__cause__ = error
    raise translated


def session_middlewares(session: Any) -> tuple[Any, ...]:
    """Return the middlewares of an application's session: those given with a request replace them."""
    return tuple(getattr(session, "_middlewares", None) or ())


def uses_proxy(session: Any) -> bool:
    """Whether an application's session may go through a proxy."""
    return bool(session.trust_env) or getattr(session, "_default_proxy", None) is not None


# A connection for one request alone, in an application's session, which pools.


def unshared_pool_key(url: Any) -> dict[str, Any]:
    """Return options of a request with which its pool finds no kept connection: this one is a part of the pool's key.

    It is the value that aiohttp would use itself.
    """
    return {"server_hostname": url.raw_host}


async def close_after_response(request: Any, handler: Any) -> object:
    """Have the connection of a request closed after its response, as a client middleware.

    `Connection: close` in the request isn't enough: aiohttp keeps the connection unless the response has it as well.
    """
    request.response_class = _closing_response_class(request.response_class)
    return await handler(request)


@cache
def _closing_response_class(response_class: Any) -> Any:
    class ClosingResponse(response_class):  # type: ignore[misc]
        """The session's own class of responses, which ends its connection."""

        async def start(self, connection: Any) -> Any:
            # Before the response is read: when it ends, the connection goes back to the pool at once.
            connection.protocol.force_close()
            return await response_class.start(self, connection)

    return ClosingResponse


# Read timeouts.


def start_fewer_timers(connector: Any) -> None:
    """Have the connections of a connector keep the read timeout with a timer that is moved when it ends.

    aiohttp starts and cancels two timers for each call, a twelfth of what a call costs.
    """
    factory: Any = getattr(connector, "_factory", None)
    made: Any = cast("Any", factory)() if isinstance(factory, partial) else None
    if all(hasattr(made, name) for name in _TIMER_PARTS):
        handler = _lazily_timed_class(factory.func)
        connector._factory = partial(handler, *factory.args, **factory.keywords)  # noqa: SLF001 - the reason for this module


_TIMER_PARTS = (
    "_connection_lost_called",
    "_drop_timeout",
    "_loop",
    "_on_read_timeout",
    "_read_timeout",
    "_read_timeout_handle",
    "_reschedule_timeout",
)


@cache
def _lazily_timed_class(handler: Any) -> Any:
    return type("LazilyTimedHandler", (_LazilyTimed, handler), {})


class _LazilyTimed:
    """The read timeout of a connection, over the fields of aiohttp's own."""

    _times_out_at: float | None = None  # on the loop's clock; None while nothing is waited for

    def _reschedule_timeout(self: Any) -> None:
        if not self._read_timeout:
            self._cancel_timer()
            return
        self._times_out_at = times_out_at = self._loop.time() + self._read_timeout
        timer = self._read_timeout_handle
        if timer is None or timer.when() > times_out_at:
            self._cancel_timer()
            self._read_timeout_handle = self._loop.call_at(times_out_at, self._on_timer)

    def _drop_timeout(self: Any) -> None:
        self._times_out_at = None
        if self.transport is None or self._connection_lost_called:
            self._cancel_timer()  # it would keep the connection in memory

    def _cancel_timer(self: Any) -> None:
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None

    def _on_timer(self: Any) -> None:
        self._read_timeout_handle = None
        if self._times_out_at is None:
            return
        if self._times_out_at > self._loop.time():
            self._read_timeout_handle = self._loop.call_at(self._times_out_at, self._on_timer)
            return
        self._on_read_timeout()


# Bodies that are read as they come.


def disable_read_timeout(connection: Any) -> None:
    """Drop aiohttp's read timeout for a response that has begun: it starts a timer for every piece that arrives."""
    connection.protocol.read_timeout = None
    connection.protocol.start_timeout()  # ends the timer that runs


def read_in_small_pieces(transport: Any) -> None:
    """Have asyncio read the socket of one connection in small pieces; other loops stay as they are.

    asyncio makes room for 256 KiB otherwise. With TLS a connection holds that for as long as it lives; here it needs no
    room of its own. Without, a stream that isn't read holds that much of what it brings; and until something that large
    has been freed whole, glibc takes the room from the system and returns it for every event, which then costs nearly
    twice as much.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    if tls is None:
        if isinstance(getattr(transport, "max_size", None), int):
            transport.max_size = _PIECE
    elif isinstance(getattr(tls, "_ssl_buffer", None), bytearray) and hasattr(tls, "_ssl_buffer_view"):
        tls.max_size = _PIECE
        tls._ssl_buffer = _make_tls_buffer(tls)  # noqa: SLF001 - the reason for this module
        tls._ssl_buffer_view = memoryview(tls._ssl_buffer)  # noqa: SLF001 - likewise


_of_thread = threading.local()


def _make_tls_buffer(tls: Any) -> bytearray:
    """Return room for what is read, encrypted: on a selector's loop, one for all connections of the thread.

    Such a loop fills and empties it in one call, before it reads from another socket. A proactor's (Windows) has a read
    under way on each.
    """
    if not isinstance(getattr(tls, "_loop", None), asyncio.SelectorEventLoop):
        return bytearray(_PIECE)
    buffer: bytearray | None = getattr(_of_thread, "buffer", None)
    if buffer is None:
        buffer = _of_thread.buffer = bytearray(_PIECE)
    return buffer


def read_leanly(content: Any) -> None:
    """Have a body that is read by `readany` alone keep nothing that only the other ways of reading need.

    aiohttp keeps the place of each HTTP chunk's end, runs a timer's context around each wait, and has the parser look
    for more after each read; together that is a seventh of what a live event costs. It also pauses an unread body for
    its number of chunks, which can leave a mark in its parser that outlives the pause (seen in 3.14.5): what comes next
    is put aside, and if the server closes before it is asked for, as it does after every stream, it is lost.

    An unknown version of aiohttp only has the last of these corrected.
    """
    lean = _lean_reader_class(type(content))  # type: ignore[arg-type] # mypy: not hashable
    if lean is None or not _has_no_timer(content) or content._buffer_offset:  # noqa: SLF001 - the reason for this module
        if isinstance(getattr(content, "_high_water_chunks", None), int):
            content._high_water_chunks = sys.maxsize  # noqa: SLF001 - likewise
        return
    content._http_chunk_splits = None  # noqa: SLF001 - likewise
    content.__class__ = lean
    # In aiohttp's parser in Python, a pause that began with the last byte of a chunk leaves such a mark as well.
    parser = getattr(getattr(content._protocol, "_parser", None), "_payload_parser", None)  # noqa: SLF001 - likewise
    if parser is not None:
        parser._paused = False  # noqa: SLF001 - likewise


def _has_no_timer(content: Any) -> bool:
    import aiohttp  # noqa: PLC0415 - imported on first use

    noop = getattr(aiohttp.helpers, "TimerNoop", None)
    return noop is not None and type(content._timer) is noop  # noqa: SLF001 - likewise


_READER_PARTS = (
    "_buffer _buffer_offset _cursor _eof _eof_callbacks _eof_counter _eof_waiter _exception _high_water "
    "_high_water_chunks _http_chunk_splits _loop _low_water _low_water_chunks _protocol _size _timer _waiter "
    "total_bytes total_compressed_bytes"
)
"""What aiohttp's reader of bodies consists of in the versions that are known."""


@cache
def _lean_reader_class(reader_class: Any) -> Any:
    """Return the class that replaces aiohttp's reader; None for one that isn't known."""
    import aiohttp  # noqa: PLC0415 - imported on first use

    slots: Any = getattr(reader_class, "__slots__", ())
    if reader_class is not aiohttp.StreamReader or " ".join(sorted(slots)) != _READER_PARTS:
        return None
    return type("LeanReader", (_LeanReading, reader_class), {"__slots__": ()})


class _LeanReading:
    """The methods of a reader whose only way of reading is `readany`, over the fields of aiohttp's own."""

    __slots__ = ()

    def begin_http_chunk_receiving(self) -> None:
        """Keep nothing: `readany` doesn't ask where chunks begin or end."""

    def end_http_chunk_receiving(self) -> None:
        """Keep nothing, and wake no reader: the chunk's data has done that."""

    def feed_data(self: Any, data: bytes, size: int = 0) -> bool:
        """Take what the parser has found, and wake the reader."""
        if data:
            self._buffer.append(data)
            self._size = size = self._size + len(data)
            self.total_bytes += len(data)
            waiter = self._waiter
            if waiter is not None:
                self._waiter = None
                if not waiter.done():
                    waiter.set_result(None)
            if size > self._high_water:
                _pause_reading(self._protocol)
        return False

    async def readany(self: Any) -> bytes:
        """Return all bytes that have come, as soon as there are any; empty at the end of the body."""
        if self._exception is not None:
            raise self._exception
        buffer = self._buffer
        while not buffer:
            if self._eof:
                return b""
            if self._waiter is not None or not self._protocol.connected:
                await self._wait("readany")  # raises aiohttp's own error
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        data: bytes = buffer.popleft() if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        if self._protocol._reading_paused:  # noqa: SLF001 - the reason for this module
            self._protocol.resume_reading()
        return data


def _pause_reading(protocol: Any) -> None:
    """Pause a connection until its body is read; but not its parser, as aiohttp does.

    What the parser holds back is lost if the connection ends meanwhile, which TLS notices at any time.
    """
    protocol._reading_paused = True  # noqa: SLF001 - the reason for this module
    protocol._drop_timeout()  # noqa: SLF001 - likewise
    if protocol.transport is not None:
        with suppress(NotImplementedError, RuntimeError):  # a transport without a way to pause, or that is closing
            protocol.transport.pause_reading()


def has_unread_bytes(content: Any) -> bool:
    """Whether bytes of a body have arrived that weren't read."""
    return bool(getattr(content, "_size", 0))


def fail_body_with_connection(response: Any) -> None:
    """Have a body fail as soon as what comes isn't HTTP any more.

    aiohttp's C parser forgets the body when its chunks are garbled, so that its reader would wait for the read timeout.
    """
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    if protocol is None:
        return  # the whole body has come already
    protocol.__class__ = _body_failing_class(type(protocol))  # type: ignore[arg-type] # mypy: not hashable
    protocol.check_body(response.content)


@cache
def _body_failing_class(protocol_class: Any) -> Any:
    import aiohttp  # noqa: PLC0415 - imported on first use

    if getattr(protocol_class, "fails_body", False):
        return protocol_class

    class BodyFailingProtocol(protocol_class):  # type: ignore[misc]
        """The session's own class of protocols, which hands its failure to the body that is being read."""

        fails_body = True

        def set_exception(self, exc: Any, *cause: Any) -> None:
            protocol_class.set_exception(self, exc, *cause)
            body = getattr(self, "_payload", None)
            if body is not None:
                self.check_body(body)

        def check_body(self, body: Any) -> None:
            failure = self.exception()
            if isinstance(failure, aiohttp.http.HttpProcessingError) and not body.is_eof():
                body.set_exception(failure)

    return BodyFailingProtocol


def is_connection_gone(response: Any) -> bool:
    """Whether aiohttp has closed the connection of an unfinished body without failing it.

    The transport is None only after the end of the connection was dealt with.
    """
    connection = response.connection
    return connection is None or connection.transport is None


def close_now(response: Any) -> None:
    """Close a response and its connection, with TLS as well without waiting for a peer that may be gone.

    asyncio would wait for the peer's own goodbye for 30 seconds, and hold the socket as long. The order matters: a TLS
    transport that is closed a second time, as when aiohttp had closed it already, can't be aborted or asked any more.
    """
    connection = response.connection
    transport = None if connection is None else connection.transport
    with suppress(AttributeError):
        if transport is not None and transport.get_extra_info("sslcontext") is not None:
            transport.abort()
    response.close()


def fail_body(content: Any, *, is_idle: bool) -> None:
    """Have the reader of a body fail as after aiohttp's own read timeout (`is_idle`), or after a lost connection.

    aiohttp exports no way to fail a body.
    """
    import aiohttp  # noqa: PLC0415 - imported on first use

    idle, lost = "nothing came for too long", "the connection was lost"
    content.set_exception(aiohttp.SocketTimeoutError(idle) if is_idle else aiohttp.ClientPayloadError(lost))


# A server's responses that last.


def is_server_closing(request: Any) -> bool:
    """Whether the server of a request shuts down: it ends the connection after this response.

    An application learns of that by `on_shutdown`, to which nothing can be added once it runs.
    """
    return getattr(request.protocol, "_close", False) is True
