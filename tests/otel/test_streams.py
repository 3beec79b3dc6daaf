"""A stream is a span, whichever way it ends."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from rebyte_async import AsyncRebyte, errors, merge
from rebyte_async.relay import sse
from support.clients import client_of
from support.raw_server import DROP, RawServer, json_response
from support.task_server import CLOSE, SILENCE, TASK_ID, TaskServer, done, text
from support.traces import Spans, id_of

NAME = "invoke_agent"
LAST = [text(1, "the answer"), done(last_seq=1, final_result="the answer")]


async def test_a_stream_is_a_span_with_its_reconnects_as_events(spans: Spans) -> None:
    """The span has the task, the turn and its end, each connect, and the reason of each reconnect."""
    connects: list[Any] = [[text(1, "the answer"), DROP], [b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"], LAST]
    async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
        await spans.instrument(client).tasks.events(TASK_ID).until_done()
        port = server.port
    span = spans.one(NAME)
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "rebyte",
        "gen_ai.conversation.id": TASK_ID,
        "server.address": "127.0.0.1",
        "server.port": port,
        "rebyte.prompt.id": "p1",
        "rebyte.stream.events": 1,
        "rebyte.stream.reconnects": 2,
        "rebyte.stream.outcome": "completed",
    }
    events = spans.events(NAME)
    assert [name for name, _ in events] == ["connect", "reconnect", "reconnect", "connect"]
    assert events[1][1]["error.type"] == "rebyte_async.errors.TransportError"
    assert events[2][1]["error.type"] == "503"
    assert events[3][1] == {"rebyte.stream.connection": 2}


async def test_the_reads_of_a_stream_are_below_it(spans: Spans) -> None:
    """What a stream reads of its task is a part of it; the consumer's own span stays current."""
    server = TaskServer([[text(1, "the answer"), CLOSE]], tasks=[{"status": "completed", "finalResult": "the answer"}])
    async with RawServer(server) as raw, client_of(raw.url) as client:
        spans.instrument(client)
        with spans.tracer.start_as_current_span("mine") as mine:
            async with client.tasks.events(TASK_ID) as stream:
                async for _ in stream:
                    assert get_current_span() is mine
    assert spans.children(spans.one("mine")) == [NAME]
    assert "GET /tasks/{task_id}" in spans.children(spans.one(NAME))


@pytest.mark.parametrize(
    ("status", "outcome", "failed"),
    [("succeeded", "completed", False), ("canceled", "canceled", False), ("failed", "failed", True)],
)
async def test_the_end_of_the_turn_is_the_outcome(spans: Spans, status: str, outcome: str, *, failed: bool) -> None:
    """A failed turn is a failed span; a canceled one isn't."""
    connects = [[text(1, "the answer"), done(status, 1, "the answer")]]
    async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
        await spans.instrument(client).tasks.events(TASK_ID).until_done()
    assert spans.attributes(NAME)["rebyte.stream.outcome"] == outcome
    assert (spans.one(NAME).status.status_code is StatusCode.ERROR) is failed
    assert ("error.type" in spans.attributes(NAME)) is failed


async def test_a_stream_that_gives_up_failed(spans: Spans) -> None:
    """A stream that is given up, or refused, has the error."""
    refused = json_response({"error": {"code": "insufficient_scopes", "message": "the words of the server"}}, 403)
    for connects in ([[DROP]], [[refused]]):
        async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
            with pytest.raises(errors.RebyteError):
                await spans.instrument(client).tasks.events(TASK_ID).until_done()
    given_up, forbidden = spans.all(NAME)
    assert (given_up.attributes or {})["error.type"] == "rebyte_async.errors.StreamInterruptedError"
    assert (forbidden.attributes or {})["error.type"] == "403"
    assert {span.status.status_code for span in spans.all(NAME)} == {StatusCode.ERROR}
    assert "words" not in spans.text()


async def read_one(client: AsyncRebyte) -> Any:
    """Return a stream that waits for its second event."""
    stream = client.tasks.events(TASK_ID)
    await anext(stream)
    return stream


async def close(client: AsyncRebyte) -> None:
    await (await read_one(client)).aclose()


async def cancel(client: AsyncRebyte) -> None:
    async def consume() -> None:
        async with client.tasks.events(TASK_ID) as stream:
            async for _ in stream:
                begun.set()

    begun = asyncio.Event()
    consumer = asyncio.create_task(consume())
    await begun.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer


async def cancel_run(client: AsyncRebyte) -> None:
    run = client.tasks.run("x", task_id=TASK_ID)
    await anext(run)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run, 0.01)


async def drop(client: AsyncRebyte) -> None:
    streams = [await read_one(client)]
    with pytest.warns(ResourceWarning, match="never closed"):
        streams.clear()


async def relay(client: AsyncRebyte) -> None:
    async with aclosing(sse(client.tasks.events(TASK_ID))) as frames:
        while b"data:" not in await anext(frames):
            pass


async def read_several(client: AsyncRebyte) -> None:
    async with aclosing(merge(client.tasks.events(TASK_ID))) as events:
        await anext(events)


WAYS = [close, cancel, cancel_run, drop, relay, read_several]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_a_stream_that_is_left_ends(spans: Spans, leave: Any) -> None:
    """However a stream is left before its end, its span ends, as closed and not as failed."""

    async def handler(request: Any) -> Any:
        return json_response({"promptId": "p1"}, 201) if request.method == "POST" else await server(request)

    server = TaskServer([[text(1, "the answer"), SILENCE]])
    async with RawServer(handler) as raw, client_of(raw.url) as client:
        await leave(spans.instrument(client))
        assert spans.attributes(NAME)["rebyte.stream.outcome"] == "closed"
        assert spans.one(NAME).status.status_code is StatusCode.UNSET


async def test_a_stream_that_waits_when_it_is_dropped_ends(spans: Spans) -> None:
    """A stream without a connection is dropped in silence, and its span ends then."""
    async with RawServer(TaskServer([[text(1, "a"), text(2, "b"), DROP]])) as server, client_of(server.url) as client:
        stream = await read_one(spans.instrument(client))
        stream._connection.close()
        assert spans.all() == []
        del stream
        gc.collect()
    assert spans.attributes(NAME)["rebyte.stream.outcome"] == "closed"


async def test_a_stream_that_is_read_on_has_a_second_span(spans: Spans) -> None:
    """A stream that continues after a disconnect has another span, which is linked to the first."""
    connects: list[Any] = [[text(1, "the answer"), SILENCE], LAST]
    async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
        stream = await read_one(spans.instrument(client))
        stream.disconnect()
        await stream.until_done()
        await stream.close()
    first, second = spans.all(NAME)
    assert [link.context for link in second.links] == [id_of(first)]
    assert (second.attributes or {})["rebyte.stream.outcome"] == "completed"


async def test_a_stream_that_is_not_read_is_no_span(spans: Spans) -> None:
    """A stream begins with its first request."""
    async with client_of("http://127.0.0.1:1/v1") as client:
        await spans.instrument(client).tasks.events(TASK_ID).close()
    assert spans.all() == []


@pytest.mark.parametrize("content", [False, True])
async def test_a_run_is_a_create_and_a_stream_that_is_linked_to_it(spans: Spans, *, content: bool) -> None:
    """The stream of a task that the client made has its agent's name, and prompts and results are opt-in."""

    async def handler(request: Any) -> Any:
        if request.method == "POST":
            return json_response({"id": TASK_ID, "promptId": "p1", "workspaceId": "w1"}, 201)
        return await server(request)

    server = TaskServer([LAST])
    async with RawServer(handler) as raw, client_of(raw.url) as client:
        spans.instrument(client, content=content)
        await client.tasks.run("the question", executor="claude", model="opus")
        await client.tasks.run("another question", task_id=TASK_ID)
    first, second = spans.all("invoke_agent claude")
    assert [link.context for link in first.links] == [id_of(spans.one("POST /tasks"))]
    assert [link.context for link in second.links] == [id_of(spans.one("POST /tasks/{task_id}/prompts"))]
    for attributes in ((first.attributes or {}), (second.attributes or {})):
        assert attributes["gen_ai.agent.name"] == "claude"
        assert attributes["gen_ai.agent.id"] == "w1"
        assert attributes["gen_ai.request.model"] == "opus"
    for words, name in (("the question", "input"), ("another question", "input"), ("the answer", "output")):
        assert (words in spans.text()) is content
        assert (f"gen_ai.{name}.messages" in spans.text()) is content
