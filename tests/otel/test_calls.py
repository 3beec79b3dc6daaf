"""A call is a span."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from rebyte_async import errors
from rebyte_async.emulator import ArtifactFormat, Emulator, faults
from rebyte_async.otel._attributes import activate
from support.clients import KEY, client_of
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response
from support.task_server import SILENCE
from support.traces import Spans, id_of

TASK = {"id": "t1", "status": "running"}
ERROR = {"error": {"code": "odd_code", "message": "the words of the server"}}


def replies(*given: Any) -> Any:
    """Return a handler that gives these, one after the other."""
    left = list(given)

    async def handler(_: RawRequest) -> Any:
        return left.pop(0)

    return handler


async def test_a_call_is_a_span_with_its_retries_as_events(spans: Spans) -> None:
    """The span has the request, its response and the number of its retries, and an event for each with the reason."""
    failed = json_response(ERROR, 503, X_Request_Id="req_1")
    async with RawServer(replies(failed, DROP, json_response(TASK))) as server, client_of(server.url) as client:
        await spans.instrument(client).tasks.get("t1")
        url, port = server.url, server.port
    span = spans.one("GET /tasks/{task_id}")
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.full": f"{url}/tasks/t1",
        "url.template": "/tasks/{task_id}",
        "server.address": "127.0.0.1",
        "server.port": port,
        "gen_ai.conversation.id": "t1",
        "http.response.status_code": 200,
        "http.request.resend_count": 2,
    }
    (first, refused), (second, lost) = spans.events(span.name)
    assert first == second == "retry"
    assert 0 < refused.pop("rebyte.retry.delay") < 1
    assert refused == {
        "rebyte.attempt": 1,
        "error.type": "503",
        "http.response.status_code": 503,
        "rebyte.error.code": "odd_code",
        "rebyte.request_id": "req_1",
    }
    assert (lost["rebyte.attempt"], lost["error.type"]) == (2, "rebyte_async.errors.TransportError")


@pytest.mark.parametrize("content", [False, True])
async def test_a_refused_call_failed_without_words_of_the_server(spans: Spans, *, content: bool) -> None:
    """A refused call has its status and code; what the server says of it is content."""
    async with RawServer(replies(json_response(ERROR, 404))) as server, client_of(server.url) as client:
        with pytest.raises(errors.NotFoundError):
            await spans.instrument(client, content=content).tasks.get("t1")
    span = spans.one("GET /tasks/{task_id}")
    attributes = span.attributes or {}
    assert span.status.status_code is StatusCode.ERROR
    assert (attributes["error.type"], attributes["http.response.status_code"]) == ("404", 404)
    assert attributes["rebyte.error.code"] == "odd_code"
    assert ("the words of the server" in spans.text()) is content


async def test_a_call_without_a_connection_says_what_the_system_says(spans: Spans, unused_port: int) -> None:
    """What kept a connection from being made is the status of the span."""
    async with client_of(f"http://127.0.0.1:{unused_port}/v1") as client:
        with pytest.raises(errors.ConnectError):
            await spans.instrument(client).tasks.get("t1")
    status = spans.one("GET /tasks/{task_id}").status
    assert "onnect" in (status.description or "")
    assert spans.attributes("GET /tasks/{task_id}")["error.type"] == "rebyte_async.errors.ConnectError"


@pytest.mark.parametrize(
    ("reply", "status"), [(DROP, None), (json_response(ERROR, 500), 500), (http_response(201, b"nonsense"), 201)]
)
async def test_an_ambiguous_create_failed(spans: Spans, reply: Any, status: int | None) -> None:
    """A create in doubt says so, with the status that came if one did; a task isn't known."""
    async with RawServer(replies(reply)) as server, client_of(server.url) as client:
        with pytest.raises(errors.AmbiguousRequestError):
            await spans.instrument(client).tasks.create("x", executor="claude", model="opus")
    attributes = spans.attributes("POST /tasks")
    if status != 201:
        assert attributes["error.type"] == "rebyte_async.errors.AmbiguousRequestError"
    assert attributes.get("http.response.status_code") == status
    assert (attributes["gen_ai.agent.name"], attributes["gen_ai.request.model"]) == ("claude", "opus")
    assert "gen_ai.conversation.id" not in attributes


async def test_a_create_knows_its_task(spans: Spans) -> None:
    """A create's span has the id of the task that it made, and the agent computer's."""
    made = json_response({**TASK, "workspaceId": "w1"}, 201)
    async with RawServer(replies(made)) as server, client_of(server.url) as client:
        await spans.instrument(client).tasks.create("x")
    attributes = spans.attributes("POST /tasks")
    assert attributes["gen_ai.conversation.id"] == "t1"
    assert attributes["gen_ai.agent.id"] == "w1"
    assert attributes["gen_ai.provider.name"] == "rebyte"


async def test_a_cancelled_call_ends(spans: Spans) -> None:
    """The span of a call that is cancelled, or dropped, ends with it."""
    arrived = asyncio.Event()

    async def handler(_: RawRequest) -> AsyncIterator[object]:
        async def silence() -> AsyncIterator[object]:
            arrived.set()
            await asyncio.Event().wait()
            yield SILENCE

        return silence()

    async with RawServer(handler) as server, client_of(server.url) as client:
        call = asyncio.create_task(spans.instrument(client).tasks.get("t1"))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert spans.attributes("GET /tasks/{task_id}")["error.type"] == "cancelled"


def test_a_block_that_ends_elsewhere_restores_nothing(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine that is dropped in a block ends it in another context, of which OpenTelemetry would complain."""

    async def work() -> None:
        with activate(spans.tracer.start_span("dropped")):
            await Suspended()

    dropped = work()
    contextvars.copy_context().run(dropped.send, None)
    with spans.tracer.start_as_current_span("mine") as mine:
        dropped.close()
        assert get_current_span() is mine
    assert caplog.records == []


class Suspended:
    """Suspends what awaits it, for good."""

    def __await__(self) -> Generator[None]:
        yield


async def test_a_request_of_the_application_has_no_ids_in_its_name(spans: Spans) -> None:
    """Spans have few names: a path that the package doesn't know isn't in one, and a query is in no span."""
    async with RawServer(replies(json_response({}), json_response({}))) as server, client_of(server.url) as client:
        await spans.instrument(client).request("GET", "/things/7", query={"q": "searched"})
        await client.request("GET", "/tasks")
        assert spans.attributes("GET")["url.full"] == f"{server.url}/things/7"
    assert "url.template" not in spans.attributes("GET")
    assert len(spans.all("GET /tasks")) == 1
    assert "searched" not in spans.text()


async def test_the_api_learns_which_span_a_request_is_of_and_a_storage_does_not(spans: Spans) -> None:
    """Each request to the API has the `traceparent` of its span; none to a storage has one, and baggage isn't sent."""
    token = attach(baggage.set_baggage("user", "alice"))
    async with Emulator(pace=0, artifact_format=ArtifactFormat(redirect=302)) as emulator:
        emulator.add_key(KEY)
        async with client_of(emulator.url) as client:
            spans.instrument(client)
            task = await client.tasks.create("x", files=[("notes.txt", b"notes")])
            await client.tasks.run("more", task_id=task.id)
            await client.artifacts.upload(task.workspace_id or "", ("a.txt", b"a"))
            assert await client.artifacts.read(task.workspace_id or "", "a.txt") == b"a"
            await client.health()
    detach(token)
    headers = {(entry.method, entry.path): entry.headers.get("traceparent") for entry in emulator.log}
    ids = {f"{id_of(span).trace_id:032x}-{id_of(span).span_id:016x}" for span in spans.all()}
    to_storage = {
        place: header for place, header in headers.items() if place[1].startswith(("/uploads/", "/artifacts/"))
    }
    assert {method for method, _ in to_storage} == {"PUT", "GET"}
    assert set(to_storage.values()) == {None}
    assert {(header or "")[3:-3] for place, header in headers.items() if place not in to_storage} < ids
    assert not [entry for entry in emulator.log if "baggage" in entry.headers]


async def test_spans_of_concurrent_calls_have_their_own_parents(spans: Spans) -> None:
    """A call is below the span that was current where it was made, and leaves that one current."""
    async with RawServer(replies(*[json_response(TASK)] * 3)) as server, client_of(server.url) as client:
        spans.instrument(client)

        async def work(number: int) -> None:
            with spans.tracer.start_as_current_span(f"work {number}") as own:
                await client.tasks.get(f"t{number}")
                assert get_current_span() is own

        await asyncio.gather(*map(work, range(3)))
    for number in range(3):
        assert spans.children(spans.one(f"work {number}")) == ["GET /tasks/{task_id}"]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_download_is_one_span(spans: Spans, *, whole: bool) -> None:
    """A download is one span over all its connections, which also ends where it is read no further."""
    async with Emulator(pace=0) as emulator:
        emulator.add_key(KEY)
        emulator.put_artifact("w1", "a.bin", b"x" * 300_000)
        emulator.faults.add(faults.CutBytes(100_000), faults.DOWNLOADS)
        async with client_of(emulator.url) as client:
            stream = spans.instrument(client).artifacts.stream("w1", "a.bin")
            async for _ in stream:
                if not whole:
                    break
            await stream.aclose()
    span = spans.one("GET /workspaces/{workspace_id}/artifacts/{filename}")
    assert span.status.status_code is StatusCode.UNSET
    assert spans.attributes(span.name)["http.response.status_code"] == (206 if whole else 200)
    assert [name for name, _ in spans.events(span.name)] == ["retry"] * whole


async def test_a_download_that_fails_failed(spans: Spans) -> None:
    """A download that the server refuses is a failed span."""
    async with RawServer(replies(json_response(ERROR, 403))) as server, client_of(server.url) as client:
        with pytest.raises(errors.PermissionDeniedError):
            await spans.instrument(client).artifacts.read("w1", "a.bin")
    assert spans.attributes("GET /workspaces/{workspace_id}/artifacts/{filename}")["error.type"] == "403"
