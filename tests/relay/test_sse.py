"""The bytes for frameworks without an adapter, and what browsers connect again with."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async.emulator import Emulator, hold, text
from rebyte_async.errors import ConfigurationError
from rebyte_async.relay import last_event_id, sse, starlette_response
from rebyte_async.sse import SSEParser


@pytest.fixture
async def stream() -> AsyncIterator[TaskEventStream]:
    """A stream whose turn waits after its first event."""
    async with Emulator(pace=0) as emulator, AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        emulator.script(text("one"), hold())
        yield client.tasks.events((await client.tasks.create("x")).id)


@pytest.mark.parametrize("waits", [False, True], ids=["after an event", "in a read"])
async def test_closing_the_iterator_closes_the_stream(stream: TaskEventStream, *, waits: bool) -> None:
    """Wherever a framework drops the iterator, the stream is closed with it, and no task is left behind."""
    async with aclosing(sse(stream, heartbeat=0.01 if waits else 60)) as frames:
        got = b""
        while b"data: " not in got or (waits and not got.endswith(b":\n\n")):
            got += await anext(frames)
    assert not [task for task in asyncio.all_tasks() if "relay/_" in repr(task)]
    assert "closed" in repr(stream)
    (event,) = SSEParser().feed(got)
    assert json.loads(event.data)["payload"] == {"content": "one"}


async def test_a_cancelled_read_closes_the_stream(stream: TaskEventStream) -> None:
    """A framework that cancels the response doesn't leave the stream open."""

    async def consume() -> None:
        async for _ in sse(stream):
            first.set()

    first = asyncio.Event()
    consumer = asyncio.create_task(consume())
    await first.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert "closed" in repr(stream)


async def test_a_stream_that_the_application_closes_ends_the_response(stream: TaskEventStream) -> None:
    """An application may end a response by its stream; the browser connects again, as there is no `done`."""
    frames = sse(stream)
    got = [await anext(frames), await anext(frames)]
    reading = asyncio.create_task(anext(frames, b"end"))
    await asyncio.sleep(0)
    await stream.close()
    assert await reading == b"end"
    assert got[0].startswith(b"retry: ")


@pytest.mark.parametrize("heartbeat", [0, -1, "15", None, float("nan")])
@pytest.mark.parametrize("relay", [sse, starlette_response])
async def test_a_heartbeat_is_a_time(stream: TaskEventStream, relay: Any, heartbeat: Any) -> None:
    """A heartbeat that isn't a number of seconds above zero is refused at once."""
    with pytest.raises(ConfigurationError, match="heartbeat must be a number of seconds"):
        relay(stream, heartbeat=heartbeat)


@pytest.mark.parametrize(
    "headers",
    [
        {"last-event-id": "c1"},
        {"LAST-EVENT-ID": " c1 "},
        [(b"host", b"x"), (b"last-event-id", b"c1")],
        [("Last-Event-Id", "c1")],
        {"Last-Event-ID": "c1~end"},
    ],
)
def test_the_header_is_found_in_any_form(headers: Any) -> None:
    """The cursor is read whatever the framework's headers look like, and also where it is that of the end."""
    assert last_event_id(headers) == "c1"


@pytest.mark.parametrize("headers", [{}, [], {"Last-Event-ID": ""}, {"other": "c1"}])
def test_a_first_request_has_no_cursor(headers: Any) -> None:
    """Without the header, reading starts at the beginning."""
    assert last_event_id(headers) is None


def test_without_starlette_only_its_adapter_is_refused() -> None:
    """The module needs no web framework; the adapter of one that is missing says so."""
    program = """
import sys
sys.modules["starlette"] = sys.modules["starlette.responses"] = sys.modules["aiohttp.web"] = None
from rebyte_async.relay import starlette_response
try:
    starlette_response(lambda after: None)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "ConfigurationError starlette_response needs Starlette, which isn't installed\n"
