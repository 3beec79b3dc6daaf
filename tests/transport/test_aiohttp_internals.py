"""Whether the installed aiohttp and asyncio still have each part that isn't public and that the package uses.

A failure here doesn't mean that the package is broken: without most of these parts it is slower, or leaves a rare
failure of aiohttp uncorrected. Look at the function that uses the part.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy
from attrs import define
from yarl import URL

from rebyte_async._transport import aiohttp_internals as internals
from support.raw_server import RawRequest, RawServer, chunk, http_response, stream_head

SMALL = 32 * 1024


@define
class Live:
    """A session, a request of it, and the response, whose body is still open."""

    session: Any
    request: Any
    response: Any

    @property
    def content(self) -> Any:
        """The response's body."""
        return self.response.content

    @property
    def transport(self) -> Any:
        """The transport of the response's connection."""
        return self.response.connection.transport


PARTS: dict[str, Callable[[Live], object]] = {
    "ClientSession._retry_connection": lambda live: live.session._retry_connection is True,
    "ClientSession._middlewares": lambda live: len(live.session._middlewares) == 2,
    "ClientRequest.response_class": lambda live: issubclass(live.request.response_class, aiohttp.ClientResponse),
    "ClientRequest.proxy": lambda live: live.request.proxy is None,
    "ClientRequest.response": lambda live: live.request.response is live.response,
    "ClientResponse.start": lambda live: inspect.iscoroutinefunction(live.response.start),
    "Connection.protocol._payload": lambda live: live.response.connection.protocol._payload is live.content,
    "Connection.protocol.exception": lambda live: live.response.connection.protocol.exception() is None,
    "Connection.protocol.set_exception": lambda live: callable(live.response.connection.protocol.set_exception),
    "Connection.protocol.force_close": lambda live: callable(live.response.connection.protocol.force_close),
    "Connection.protocol.read_timeout": lambda live: live.response.connection.protocol.read_timeout == 30,
    "Connection.protocol.start_timeout": lambda live: callable(live.response.connection.protocol.start_timeout),
    "TCPConnector._factory": lambda live: isinstance(live.session.connector._factory, partial),
    "ResponseHandler's timer": lambda live: all(
        hasattr(live.response.connection.protocol, name) for name in internals._TIMER_PARTS
    ),
    "StreamReader._high_water_chunks": lambda live: isinstance(live.content._high_water_chunks, int),
    "StreamReader._size": lambda live: live.content._size == len(b"first"),
    "StreamReader.__slots__": lambda live: " ".join(sorted(type(live.content).__slots__)) == internals._READER_PARTS,
    "BaseProtocol._parser": lambda live: callable(live.response.connection.protocol._parser.pause_reading),
    "ResponseHandler._drop_timeout": lambda live: callable(live.response.connection.protocol._drop_timeout),
    "BaseProtocol._reading_paused": lambda live: live.response.connection.protocol._reading_paused is False,
    "StreamReader.total_bytes": lambda live: live.content.total_bytes == len(b"first"),
    "StreamReader.exception": lambda live: live.content.exception() is None,
    "StreamReader.is_eof": lambda live: live.content.is_eof() is False,
    "StreamReader.set_exception": lambda live: callable(live.content.set_exception),
}


async def open_body(_: RawRequest) -> AsyncIterator[bytes]:
    """Begin a response that doesn't end."""

    async def pieces() -> AsyncIterator[bytes]:
        yield stream_head() + chunk(b"first")
        await asyncio.sleep(60)

    return pieces()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def live(tls: Any, request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    """A response whose body has begun."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    connector = aiohttp.TCPConnector(ssl=tls.client)
    async with RawServer(open_body, tls.server if request.param else None) as server:
        requests: list[Any] = []

        async def record(request: Any, handle: Any) -> Any:
            requests.append(request)
            return await handle(request)

        middlewares: Any = (record, internals.separate_failures)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, middlewares=middlewares) as session:
            async with session.get(server.url) as response:
                while response.content.total_bytes == 0:
                    await asyncio.sleep(0.001)
                yield Live(session, requests[0], response)


@pytest.mark.parametrize("name", PARTS)
async def test_the_installed_aiohttp_has_the_part(live: Live, name: str) -> None:
    """Each private part is there and has the form that the package expects."""
    assert PARTS[name](live)


@pytest.mark.usefixtures("asyncio_transports")
async def test_the_installed_asyncio_has_the_parts_of_a_transport(live: Live) -> None:
    """The room that a transport makes for what it reads can be set."""
    assert issubclass(type(live.transport), asyncio.Transport)
    internals.read_in_small_pieces(live.transport)
    tls = getattr(live.transport, "_ssl_protocol", None)
    if tls is None:
        assert live.transport.max_size == SMALL
    else:
        assert (tls.max_size, len(tls._ssl_buffer), len(tls._ssl_buffer_view)) == (SMALL, SMALL, SMALL)


@pytest.mark.parametrize("without", [object(), None])
def test_an_unknown_implementation_is_left_alone(without: Any) -> None:
    """Other loops, and versions without the parts, keep working."""
    internals.read_in_small_pieces(without)
    internals.read_leanly(without)
    internals.start_fewer_timers(without)
    assert not internals.disable_implicit_retry(without)
    assert internals._make_tls_buffer(without) is not internals._make_tls_buffer(without)
    assert internals.session_middlewares(without) == ()


@define
class Watched:
    """A session that starts fewer timers, whose server sends what it is given, and the clock of its loop."""

    session: Any
    server: RawServer
    pieces: asyncio.Queue[bytes]
    _ahead: float = 0.0

    def get(self, path: str = "", *, read_timeout: float = 60) -> Any:
        """Begin a request of which only the read timeout ends the wait."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=read_timeout)
        return self.session.get(self.server.url + path, timeout=timeout)

    async def let_pass(self, seconds: float) -> None:
        """Put the clock forward, and let all run that is due then."""
        loop: Any = asyncio.get_running_loop()
        self._ahead += seconds
        loop.time = lambda: time.monotonic() + self._ahead
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def watched(asyncio_transports: None) -> AsyncIterator[Watched]:
    """A session that starts fewer timers."""
    del asyncio_transports  # uvloop's clock can't be put forward
    pieces = asyncio.Queue[bytes]()

    async def handler(request: RawRequest) -> Any:
        async def body() -> AsyncIterator[bytes]:
            while True:
                yield await pieces.get()

        return http_response() if request.path == "/v1/short" else body()

    loop: Any = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(keepalive_timeout=1000)
    internals.start_fewer_timers(connector)
    try:
        async with RawServer(handler) as server, aiohttp.ClientSession(connector=connector) as session:
            yield Watched(session, server, pieces)
    finally:
        loop.__dict__.pop("time", None)


async def test_every_piece_moves_the_read_timeout(watched: Watched) -> None:
    """A body that brings something now and then is no timeout; a silence is, as long as the timeout is."""
    watched.pieces.put_nowait(stream_head())
    async with watched.get() as response:
        for _ in range(4):
            await watched.let_pass(50)
            watched.pieces.put_nowait(chunk(b"piece"))
            assert await response.content.readany() == b"piece"
        waiting = asyncio.ensure_future(response.content.readany())
        await watched.let_pass(59)
        assert not waiting.done()
        await watched.let_pass(2)
        with pytest.raises(aiohttp.SocketTimeoutError):
            await waiting


@pytest.mark.parametrize("seconds", [5, 60, 300])
@pytest.mark.parametrize("idle", [0, 100])
async def test_a_kept_connection_has_the_read_timeout_of_each_request(
    watched: Watched, idle: int, seconds: int
) -> None:
    """It is kept however long nothing is asked of it, and then waits as long as the next request says."""
    for _ in range(2):
        async with watched.get("/short") as response:
            await response.read()
        await watched.let_pass(idle)
    waiting = asyncio.ensure_future(watched.get(read_timeout=seconds).__aenter__())
    while len(watched.server.requests) < 3:
        await asyncio.sleep(0.001)
    await watched.let_pass(seconds - 1)
    assert not waiting.done()
    await watched.let_pass(2)
    assert waiting.done()
    with pytest.raises(aiohttp.SocketTimeoutError):
        await waiting
    assert watched.server.connections == 1


@pytest.mark.parametrize("way", ["closed", "lost", "disabled"])
async def test_no_timer_outlasts_its_use(watched: Watched, way: str) -> None:
    """A connection that is gone, or needs no timeout any more, isn't kept in memory by a timer."""
    watched.pieces.put_nowait(stream_head())
    async with watched.get() as response:
        connection = response.connection
        protocol = connection.protocol
        assert protocol._read_timeout_handle is not None
        if way == "disabled":
            internals.disable_read_timeout(connection)
        elif way == "lost":
            connection.transport.abort()
            await asyncio.sleep(0)
        else:
            response.close()
        assert protocol._read_timeout_handle is None


async def test_a_lean_reader_reads_as_aiohttps_own_does(live: Live) -> None:
    """It has what had come before, waits for more, keeps what comes after a cancelled read, and refuses a second."""
    content = live.content
    internals.read_leanly(content)
    assert type(content) is not aiohttp.StreamReader
    assert isinstance(content, aiohttp.StreamReader)
    assert await content.readany() == b"first"
    waiting = asyncio.ensure_future(content.readany())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already waiting"):
        await content.readany()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for piece in (b"se", b"", b"cond"):
        content.begin_http_chunk_receiving()
        content.feed_data(piece)
        content.end_http_chunk_receiving()
    assert internals.has_unread_bytes(content)
    assert await content.readany() == b"second"
    assert not internals.has_unread_bytes(content)
    content.feed_eof()
    assert [await content.readany(), await content.readany()] == [b"", b""]


async def test_a_lean_reader_fails_with_its_connection(live: Live) -> None:
    """A read that waits fails, and so does every later one, in aiohttp's own words."""
    internals.read_leanly(live.content)
    await live.content.readany()
    waiting = asyncio.ensure_future(live.content.readany())
    await asyncio.sleep(0)
    live.transport.abort()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    with pytest.raises(aiohttp.ClientError):
        await live.content.readany()


@pytest.mark.parametrize("parser", [HttpResponseParser, HttpResponseParserPy])
@pytest.mark.parametrize("sizes", [[33, 1], [20, 20], [20, 20, 20], [65, 1, 65]])
@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_lean_reader_gets_what_comes_after_a_pause(parser: Any, sizes: list[int], before: int) -> None:
    """Wherever in the chunks the unread bytes become too many, with aiohttp's parser in C and the one in Python."""
    loop = asyncio.get_running_loop()
    protocol: Any = ResponseHandler(loop)
    protocol.connection_made(asyncio.Transport())
    protocol._parser = parser(protocol, loop, 16 * 1024, response_with_body=True, auto_decompress=False)
    protocol.data_received(stream_head())
    _, content = await protocol.read()
    pieces = [b"%d" % index * size * 1024 for index, size in enumerate(sizes)]
    for piece in pieces[:before]:
        protocol.data_received(chunk(piece))
    internals.read_leanly(content)
    for piece in pieces[before:]:
        protocol.data_received(chunk(piece))
    expected = b"".join(pieces)
    while expected:
        data = await content.readany()
        assert expected.startswith(data)
        expected = expected.removeprefix(data)
    protocol.data_received(chunk(b"next"))
    async with asyncio.timeout(5):
        assert await content.readany() == b"next"
    protocol.data_received(chunk(b""))
    assert await content.readany() == b""


@pytest.mark.parametrize("unknown", ["parts", "timer", "offset"])
async def test_a_reader_of_another_form_stays_aiohttps_own(live: Live, unknown: str) -> None:
    """With other parts, with a timer, or partly read, it is only kept from pausing for the number of chunks."""
    content = live.content
    if unknown == "parts":
        content.__class__ = type("Reader", (aiohttp.StreamReader,), {"__slots__": ()})
    elif unknown == "timer":
        content._timer = aiohttp.helpers.TimerContext(asyncio.get_running_loop())
    else:
        assert await content.read(2) == b"fi"
    own = type(content)
    internals.read_leanly(content)
    assert type(content) is own
    assert content._high_water_chunks == sys.maxsize


async def test_a_connector_of_another_form_stays_aiohttps_own() -> None:
    """Its connections may lack a part of what the timers need."""
    connector: Any = aiohttp.TCPConnector()
    connector._factory = partial(type("Handler", (), {"_loop": None}))
    factory = connector._factory
    internals.start_fewer_timers(connector)
    assert connector._factory is factory
    await connector.close()


async def test_the_messages_of_a_closed_session_are_known() -> None:
    """A closed session's RuntimeError is distinguished from others by its message alone."""
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(RuntimeError) as caught:
        await session.get("http://127.0.0.1:9")
    assert str(caught.value) in internals.SESSION_CLOSED_MESSAGES


async def test_a_pool_keeps_no_connection_for_the_key_that_is_not_shared() -> None:
    """A request with it gets a new connection, though one to the same host is kept."""

    async def handler(_: RawRequest) -> bytes:
        return http_response()

    async with RawServer(handler) as server, aiohttp.ClientSession() as session:
        for options in ({}, {}, internals.unshared_pool_key(URL(server.url))):
            async with session.get(server.url, **options) as response:
                await response.read()
        assert server.connections == 2


@pytest.mark.parametrize("closes", [0, 1, 2])
async def test_a_response_is_closed_whatever_became_of_its_connection(live: Live, closes: int) -> None:
    """Its connection may have been closed before, even more than once."""
    transport = live.transport
    for _ in range(closes):
        transport.close()
    internals.close_now(live.response)
    assert live.response.connection is None
    assert transport.is_closing()


async def test_a_body_that_is_failed_raises_to_its_reader(live: Live) -> None:
    """As a lost connection or a silent one does."""
    internals.fail_body(live.content, is_idle=False)
    with pytest.raises(aiohttp.ClientPayloadError):
        await live.content.readany()
    internals.fail_body(live.content, is_idle=True)
    with pytest.raises(aiohttp.SocketTimeoutError):
        await live.content.readany()


async def test_a_connection_that_is_gone_is_seen(live: Live) -> None:
    """A connection that is gone is noticed, although its response alone doesn't show it."""
    assert not internals.is_connection_gone(live.response)
    live.transport.abort()
    await asyncio.sleep(0.05)
    assert internals.is_connection_gone(live.response)


async def test_a_server_that_shuts_down_is_seen_in_its_requests() -> None:
    """A handler can ask whether the server of its request shuts down, before it is cancelled for it."""
    seen: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(internals.is_server_closing(request))
        closing = asyncio.create_task(runner.cleanup())
        while not internals.is_server_closing(request):
            await asyncio.sleep(0.001)
        seen.append(closing.done())
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{runner.addresses[0][1]}") as response,
    ):
        assert response.status == 200
    assert seen == [False, False]
