"""A browser gets every event of a task once, from any framework, whatever happens to its connections."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from relay.apps import APPS, KINDS, serve
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send
from yarl import URL

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Emulator, Match, Status, fail, hold, raw, text, tool_result, tool_use
from rebyte_async.relay import last_event_id, starlette_response
from rebyte_async.types import TaskEvent
from support.clients import QUICK
from support.cutting_proxy import CuttingProxy
from support.event_source import EventSource
from support.serving import serve_asgi

ANY = pytest.mark.parametrize("kind", APPS)
EACH = pytest.mark.parametrize("kind", KINDS)
WORDS = [f"word {number}" for number in range(8)]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator without pauses."""
    async with Emulator(pace=0) as started:
        yield started


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """A client of it that hardly waits."""
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url, retry=QUICK) as opened:
        yield opened


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """What a browser connects with: a connection for each request."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        yield opened


async def wait_for_closed_streams(client: AsyncRebyte) -> None:
    """Wait until no stream to the service is open."""
    while client.stats().open_streams:
        await asyncio.sleep(0.01)


@ANY
async def test_a_turn_is_relayed_to_its_end(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """Each event is the one that the stream yields, under its cursor; `done` is last, and the key is in nothing."""
    emulator.script(tool_use("Bash"), tool_result("ok\r\n\u2028"), raw("new", odd=["\ud800"]), text("Fine. 🙂"))
    task = await client.tasks.create("x")
    source = EventSource("")
    async with serve(kind, client) as origin:
        source.url = f"{origin}/{task.id}"
        await source.run(session, until="done")
        async with session.get(source.url) as response:
            headers = response.headers
    async with client.tasks.events(task.id) as stream:
        expected = [(event, stream.cursor) async for event in stream]
    assert [(TaskEvent.from_dict(json.loads(data)), id_) for _, data, id_ in source.events[:-1]] == expected
    name, data, id_ = source.events[-1]
    assert (name, json.loads(data)) == ("done", stream.done and stream.done.to_dict())
    assert last_event_id({"last-event-id": id_}) == stream.cursor
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert emulator.api_key.encode() not in source.raw


@ANY
async def test_a_browser_continues_after_any_event(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """With the id of an event as Last-Event-ID, exactly the events after it come."""
    emulator.script(*map(text, WORDS[:3]))
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        whole = EventSource(f"{origin}/{task.id}")
        await whole.run(session, until="done")
        for number, (_, _, id_) in enumerate(whole.events[:-1], 1):
            async with session.get(whole.url, headers={"Last-Event-ID": id_}) as response:
                body = await response.read()
            assert body.count(b"\nid: ") + body.startswith(b"id: ") == len(whole.events) - number


@pytest.mark.parametrize("kind", [kind for kind in APPS if "sse" not in kind])
async def test_a_browser_that_has_had_the_end_is_sent_away(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """A page that doesn't close its source connects once more, gets 204, and that costs no request to the service."""
    emulator.script(text("one"))
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        source = EventSource(f"{origin}/{task.id}")
        await source.run(session, until="done")
        requests = client.stats().requests
        await source.run(session)
        assert source.statuses == [200, 204]
        assert client.stats().requests == requests


@pytest.mark.parametrize("kind", ["aiohttp", "Starlette", "FastAPI"])
@pytest.mark.parametrize("last", ["7", "~", "\xff", "2.x.y", "of another task"])
async def test_a_wrong_last_event_id_is_refused(
    last: str, kind: str, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """The response is a 400 that says so in JSON, and nothing is read from the service."""
    task = await client.tasks.create("x")
    if last == "of another task":
        async with client.tasks.events((await client.tasks.create("y")).id) as other:
            await anext(other)
            last = other.cursor
    requests = client.stats().requests
    async with serve(kind, client) as origin:
        async with session.get(f"{origin}/{task.id}", headers={"Last-Event-ID": last}) as response:
            assert (response.status, response.content_type) == (400, "application/json")
            document = await response.json()
    assert document["error"] == "InvalidRequestError"
    assert "cursor" in document["message"]
    assert client.stats().requests == requests


@EACH
async def test_nothing_is_lost_or_repeated_over_cut_connections(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """Wherever the connection to the browser breaks, in the middle of an event as well, each event comes once."""
    emulator.script(*map(text, WORDS))
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        limits = [0, 100, 350, 351, 400, 470, 500, 700, 1200]
        async with CuttingProxy(origin, [limit + 1 for limit in limits]) as proxy:
            source = EventSource(f"{proxy.url}/{task.id}")
            await source.run(session, until="done")
            assert proxy.connections > 3
    assert source.texts() == WORDS


@EACH
async def test_a_comment_comes_while_the_agent_is_silent(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """After `heartbeat` seconds without an event a comment is sent, and the stream keeps its one connection."""
    emulator.script(text("one"), hold(), text("two"))
    task = await client.tasks.create("x")
    async with serve(kind, client, heartbeat=0.02) as origin:
        async with session.get(f"{origin}/{task.id}") as response:
            body = b""
            while body.count(b"\n:\n\n") < 3:
                body += await response.content.readany()
            emulator.release()
            body += await response.read()
    assert body.count(b"\ndata: ") == 3
    assert client.stats().reconnects == 0


@ANY
async def test_the_stream_is_closed_when_an_idle_browser_leaves(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """A browser that leaves is noticed although there is nothing to send, long before the next heartbeat."""
    emulator.script(text("one"), hold())
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        async with session.get(f"{origin}/{task.id}") as response:
            await response.content.readuntil(b"one")
            assert client.stats().open_streams == 1
        await wait_for_closed_streams(client)


@ANY
async def test_an_idle_response_ends_when_the_server_shuts_down(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """The server doesn't wait for the turn: the response is whole, has no `done`, and its stream is closed."""
    emulator.script(text("one"), hold())
    task = await client.tasks.create("x")
    async with AsyncExitStack() as server:
        origin = await server.enter_async_context(serve(kind, client))
        async with session.get(f"{origin}/{task.id}") as response:
            await response.content.readuntil(b"one")
            async with asyncio.timeout(30):  # well under the minute that the server would wait
                await server.aclose()
            assert b"event: done" not in await response.read()
    assert client.stats().open_streams == 0


@EACH
async def test_a_head_request_starts_nothing(kind: str, client: AsyncRebyte, session: aiohttp.ClientSession) -> None:
    """The response to HEAD has the headers alone, and nothing is read from the service."""
    task = await client.tasks.create("x")
    requests = client.stats().requests
    async with serve(kind, client) as origin, session.head(f"{origin}/{task.id}") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
    assert client.stats().requests == requests


async def test_starlettes_response_can_be_added_to(client: AsyncRebyte, session: aiohttp.ClientSession) -> None:
    """A cookie that the application sets reaches the browser, and its background task runs after the end."""
    task = await client.tasks.create("x")
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        response = starlette_response(client.tasks.events(task.id))
        response.set_cookie("seen", "1")
        response.background = BackgroundTask(end)
        await response(scope, receive, send)

    async def end() -> None:
        ended.set()

    async with serve_asgi(app, lifespan="off") as origin, session.get(origin) as response:
        assert response.cookies["seen"].value == "1"
        assert b"event: done" in await response.read()
        await ended.wait()


@EACH
async def test_a_task_that_failed_is_done(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """The failure of the agent is the end of a turn like any other, and says so in its status."""
    emulator.script(text("Hm."), fail("no disk left"))
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        source = EventSource(f"{origin}/{task.id}")
        await source.run(session, until="done")
    assert source.data("done")[0]["status"] == "failed"


@ANY
async def test_a_refused_stream_is_a_failure_that_lasts(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """The browser learns the class of the error and nothing else of it, and isn't let in again."""
    async with serve(kind, client) as origin:
        source = EventSource(f"{origin}/00000000-0000-4000-8000-000000000000")
        await source.run(session, until="failure")
        if "sse" not in kind:
            await source.run(session)
            assert source.statuses == [200, 204]
    (failure,) = source.data("failure")
    assert failure == {"error": "NotFoundError", "message": "The events of the task can't be read.", "retry": False}
    assert emulator.api_key.encode() not in source.raw


@EACH
async def test_a_lost_service_is_a_failure_that_passes(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """Where the stream gives up, the browser connects again and continues after the last event."""
    emulator.script(text("one"), hold(), text("two"))
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin:
        source = EventSource(f"{origin}/{task.id}")
        await source.run(session, until="message")
        rule = emulator.faults.add(Status(503), Match(path="/tasks/.*/events"), times=None)
        await source.run(session, until="failure")
        emulator.faults.remove(rule)
        emulator.release()
        await source.run(session, until="done")
    assert [failure["retry"] for failure in source.data("failure")] == [True]
    assert source.texts() == ["one", "two"]


@ANY
async def test_a_closed_client_ends_the_response_without_a_word(
    kind: str, emulator: Emulator, client: AsyncRebyte, session: aiohttp.ClientSession
) -> None:
    """An application that closes its client is about to end: the browser connects to the next one."""
    emulator.script(text("one"), hold())
    task = await client.tasks.create("x")
    async with serve(kind, client) as origin, session.get(f"{origin}/{task.id}") as response:
        await response.content.readuntil(b"one")
        await client.aclose()
        assert b"event: " not in await response.read()


@EACH
async def test_a_browser_that_reads_nothing_is_not_read_ahead_for(
    kind: str, emulator: Emulator, client: AsyncRebyte
) -> None:
    """What a slow browser doesn't take isn't read from the service, and it holds up no shutdown."""
    size, count = 1 << 20, 64
    emulator.script([text("x" * size)] * count)
    task = await client.tasks.create("x")
    async with AsyncExitStack() as server:
        origin = await server.enter_async_context(serve(kind, client))
        with socket.create_connection(("127.0.0.1", URL(origin).port)) as slow:
            slow.sendall(f"GET /{task.id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = -1
            while received < client.stats().bytes_received or not received:
                received = client.stats().bytes_received
                await asyncio.sleep(0.3)  # it has stalled when nothing more was read for so long
            assert received < size * count / 2
            if kind == "aiohttp":  # uvicorn waits until all has been sent, whatever sends it
                async with asyncio.timeout(30):
                    await server.aclose()
