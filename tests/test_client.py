"""The client's settings, lifetime and views."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from rebyte_async.emulator import Emulator
from rebyte_async.types import AgentComputer, Artifact, InitEvent, ResponseInfo, Task, Webhook
from support.clients import KEY, client_of
from support.raw_server import RawRequest, RawServer, json_response
from support.task_server import SILENCE, TASK_ID, TaskServer, text


async def handler(_: Any) -> bytes:
    """Respond with a task to everything."""
    return json_response({"id": "t1", "status": "running", "data": []})


def test_the_environment_sets_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and address come from the environment, the newer name of the address first, and an empty one is none."""
    monkeypatch.setenv("REBYTE_API_KEY", "rbk_env")
    monkeypatch.delenv("REBYTE_BASE_URL", raising=False)
    monkeypatch.delenv("REBYTE_API_URL", raising=False)
    assert repr(AsyncRebyte()) == "<AsyncRebyte of https://api.rebyte.ai/v1>"
    monkeypatch.setenv("REBYTE_API_URL", "https://old.invalid/v1")
    assert repr(AsyncRebyte()) == "<AsyncRebyte of https://old.invalid/v1>"
    monkeypatch.setenv("REBYTE_BASE_URL", "https://new.invalid/v1/")
    assert repr(AsyncRebyte()) == "<AsyncRebyte of https://new.invalid/v1>"
    monkeypatch.setenv("REBYTE_BASE_URL", "")
    assert repr(AsyncRebyte()) == "<AsyncRebyte of https://old.invalid/v1>"
    assert repr(AsyncRebyte(base_url="https://given.invalid/a/v2")) == "<AsyncRebyte of https://given.invalid/a/v2>"


@pytest.mark.parametrize("key", ["", "  ", "rbk_a b", "rbk_a\nb", "rbk_ü", 5])
def test_an_invalid_key_is_refused_without_being_shown(key: Any) -> None:
    """The error says what is wrong, not what was given."""
    with pytest.raises(errors.ConfigurationError, match="key") as caught:
        AsyncRebyte(key)
    assert "rbk_" not in str(caught.value)


def test_no_key_says_where_to_put_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error that a new user meets names the argument and the variable."""
    monkeypatch.delenv("REBYTE_API_KEY", raising=False)
    with pytest.raises(errors.ConfigurationError, match="REBYTE_API_KEY"):
        AsyncRebyte()


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nX-C: d"}, {"a b": "c"}, {"": "c"}, {"X-A": 5}, {"API_KEY": "k"}, {"x-api-key": "k"}, ["X-A"]],
)
def test_invalid_headers_are_refused(headers: Any) -> None:
    """No smuggled line and no second key gets into a request."""
    with pytest.raises(errors.ConfigurationError, match="header"):
        AsyncRebyte(KEY, headers=headers)
    with pytest.raises(errors.ConfigurationError, match="header"):
        AsyncRebyte(KEY).with_options(headers=headers)


@pytest.mark.parametrize("given", ["https://api.rebyte.ai", "https://api.rebyte.ai/", "http://127.0.0.1:8787/api"])
def test_an_address_without_a_version_is_refused(given: str) -> None:
    """A base URL that lacks the version, as in /v1, is refused when the client is made, with what would be right."""
    with pytest.raises(errors.ConfigurationError, match=r"must end with the API's version, as in https?://.+/v1$"):
        AsyncRebyte(KEY, base_url=given)


async def test_a_view_has_its_own_settings_and_the_rest_of_the_clients() -> None:
    """What a view isn't given is the client's, its headers come in addition, and the client stays as it was."""
    seen: list[dict[str, str | None]] = []

    async def fail(request: RawRequest) -> bytes:
        seen.append({name: request.headers.get(name) for name in ("x-a", "x-b")})
        await asyncio.sleep(0.3)
        return json_response({}, 503)

    async def outcome(client: AsyncRebyte) -> tuple[type[Exception], int]:
        seen.clear()
        with pytest.raises(errors.RebyteError) as caught:
            await client.tasks.get("t")
        return type(caught.value), len(seen)

    quick = RetryPolicy(base_delay=0.001, max_delay=0.001)
    async with RawServer(fail) as server:
        settings: dict[str, Any] = {"base_url": server.url, "headers": {"X-A": "1"}, "timeouts": Timeouts(read=5)}
        async with AsyncRebyte(KEY, retry=quick, **settings) as client:
            view = client.with_options(headers={"X-B": "2"}, retry=RetryPolicy(max_attempts=1))
            again = view.with_options(timeouts=Timeouts(read=0.1))
            assert await outcome(again) == (errors.RequestTimeoutError, 1)
            assert seen == [{"x-a": "1", "x-b": "2"}]
            assert await outcome(view) == (errors.ServerError, 1)
            assert seen == [{"x-a": "1", "x-b": "2"}]
            assert await outcome(client) == (errors.ServerError, 4)
            assert seen == [{"x-a": "1", "x-b": None}] * 4


@pytest.mark.parametrize("options", [{"timeouts": 5}, {"retry": 3}, {"timeouts": None}])
def test_settings_of_another_type_are_refused(options: Any) -> None:
    """The error names the setting and shows a right one."""
    with pytest.raises(errors.ConfigurationError, match="must be a"):
        AsyncRebyte(KEY, **options)


async def test_a_header_of_the_application_replaces_the_clients() -> None:
    """In any spelling, and it isn't sent twice."""
    async with RawServer(handler) as server, client_of(server.url, headers={"user-agent": "mine/1"}) as client:
        await client.tasks.get("t1")
    assert server.requests[0].headers["user-agent"] == "mine/1"
    assert server.requests[0].names.count("user-agent") == 1


async def test_a_view_shares_the_connections() -> None:
    """A view has other settings and the same connections and counters; closing it closes nothing."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
        async with client.with_options(timeouts=Timeouts(read=5), retry=RetryPolicy(max_attempts=1)) as view:
            await view.tasks.get("t1")
        await client.tasks.get("t1")
        await view.tasks.get("t1")
        assert server.connections == 1
        assert view.stats() == client.stats()
        assert client.stats().requests == 4


async def test_a_closed_client_says_so() -> None:
    """Use after closing is the caller's mistake, and reported as one."""
    async with RawServer(handler) as server:
        client = client_of(server.url)
        async with client:
            await client.tasks.get("t1")
        await client.aclose()
        for use in (client.tasks.get("t1"), client.with_options().tasks.get("t1"), client.health()):
            with pytest.raises(errors.ClientClosedError, match="closed"):
                await use


def test_a_second_event_loop_is_refused() -> None:
    """Connections belong to the loop that made them."""
    client = AsyncRebyte(KEY, base_url="http://127.0.0.1:9/v1", retry=RetryPolicy(max_attempts=1))

    async def use() -> None:
        with pytest.raises(errors.ConnectError):
            await client.tasks.get("t1")

    async def use_again() -> None:
        with pytest.raises(errors.ConfigurationError, match="event loop"):
            await client.tasks.get("t1")
        await client.aclose()

    asyncio.run(use())
    asyncio.run(use_again())


async def test_an_injected_session_is_used_and_never_closed() -> None:
    """An injected session's headers, middlewares and traces work as usual, and the client doesn't close it."""
    seen: list[str] = []

    async def middleware(request: aiohttp.ClientRequest, call: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(f"{request.method} {request.url.path}")
        return await call(request)

    async with RawServer(handler) as server:
        async with aiohttp.ClientSession(middlewares=(middleware,), headers={"X-Mine": "yes"}) as session:
            async with client_of(server.url, session=session) as client:
                await client.tasks.get("t1")
                await client.tasks.create("Do it")
                await client.tasks.get("t1")
            assert not session.closed
        assert seen == ["GET /v1/tasks/t1", "POST /v1/tasks", "GET /v1/tasks/t1"]
        assert all(request.headers["x-mine"] == "yes" for request in server.requests)
        peers = [request.peer for request in server.requests]
        assert peers[0] == peers[2] != peers[1]


async def test_an_injected_session_that_is_closed_is_reported() -> None:
    """The mistake is named, not raised as aiohttp's."""
    session = aiohttp.ClientSession()
    await session.close()
    async with client_of("http://127.0.0.1:9/v1", session=session) as client:
        with pytest.raises(errors.ConfigurationError, match="session"):
            await client.tasks.get("t1")


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_limit_of_an_injected_session_holds_for_streams(limit: int) -> None:
    """At the limit of the session a call waits for a stream to end."""
    async with RawServer(TaskServer([[text(1, "a"), SILENCE]])) as server:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit)) as session:
            client = client_of(server.url, session=session)
            streams = [client.tasks.events(TASK_ID) for _ in range(limit)]
            for stream in streams:
                await anext(stream)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.tasks.get(TASK_ID)
            for stream in streams:
                await stream.close()
            assert (await client.tasks.get(TASK_ID)).id == TASK_ID


async def test_many_streams_hold_up_no_call() -> None:
    """With three hundred open streams on the client's own connections a call still succeeds."""
    async with RawServer(TaskServer([[text(1, "a"), SILENCE]])) as server, client_of(server.url) as client:
        streams = [client.tasks.events(TASK_ID) for _ in range(300)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        assert client.stats().open_streams == 300
        async with asyncio.timeout(5):
            await client.tasks.get(TASK_ID)
        for stream in streams:
            await stream.close()


SCRIPT = """
import sys, asyncio
import rebyte_async
client = rebyte_async.AsyncRebyte("rbk_x")
extras = {"click", "cryptography", "opentelemetry", "orjson", "rich", "uvloop"}
heavy = ({"aiohttp", "cattrs", "pytest"} | extras) & set(sys.modules)
inside = [name for name in sys.modules if name.split(".")[1:2] in (["emulator"], ["cli"])]
print(sorted(heavy), inside)
"""


def test_importing_and_making_a_client_loads_nothing_heavy() -> None:
    """A new client loads neither aiohttp nor cattrs, no extra, no emulator and no command line."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[] []"


def test_the_version_is_the_packages() -> None:
    """`__version__` is what the installed package says."""
    from importlib.metadata import version

    import rebyte_async

    assert rebyte_async.__version__ == version("rebyte-async")


def test_names_are_found_on_first_use() -> None:
    """The package has its public names, its modules, and nothing else."""
    import rebyte_async

    assert set(rebyte_async.__all__) <= set(dir(rebyte_async))
    assert all(getattr(rebyte_async, name) for name in (*rebyte_async.__all__, "types", "sse"))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rebyte_async.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_web_request_cannot_choose_the_settings() -> None:
    """FastAPI refuses to make clients itself: their arguments, such as `base_url`, would come from each request."""
    from fastapi import APIRouter, Depends
    from fastapi.exceptions import FastAPIError

    with pytest.raises(FastAPIError, match="Timeouts"):
        APIRouter(dependencies=[Depends(AsyncRebyte)]).get("/")(handler)


async def test_a_client_does_not_pickle() -> None:
    """Pickling a client, fresh or used, is an error that says what to do instead."""
    import pickle

    async with RawServer(handler) as server, client_of(server.url) as client:
        for _ in range(2):
            with pytest.raises(TypeError, match="can't be pickled"):
                pickle.dumps(client)
            await client.tasks.get("t1")


async def respond_with_headers(request: RawRequest) -> bytes:
    """Respond with what came, and a request id."""
    document = {"method": request.method, "target": request.target, "body": request.body.decode() or None}
    return json_response(document, X_Request_Id="r-1")


async def test_a_request_that_has_no_call() -> None:
    """`request` sends a method, a path, a query and JSON with the key, and gives the whole response."""
    async with RawServer(respond_with_headers) as server, client_of(server.url) as client:
        got = await client.request("GET", "/tasks/a%20b/logs", query={"limit": 5, "q": "x y"})
        sent = await client.request("PATCH", "/new", json={"a": [1]})
    assert got.json() == {"method": "GET", "target": "/v1/tasks/a%20b/logs?limit=5&q=x+y", "body": None}
    assert (got.status, got.request_id, got.headers["content-type"]) == (200, "r-1", "application/json")
    assert json.loads(sent.body)["body"] == '{"a":[1]}'
    assert repr(got).startswith("<Response 200 of GET http://127.0.0.1:")
    assert [request.headers["api_key"] for request in server.requests] == [KEY, KEY]


@pytest.mark.parametrize(
    ("method", "repeatable", "is_repeated"),
    [("GET", None, True), ("PUT", None, True), ("DELETE", None, True), ("POST", None, False), ("PATCH", None, False),
     ("POST", True, True), ("GET", False, False)],
)  # fmt: skip
async def test_a_request_is_repeated_only_where_that_is_safe(
    method: str, repeatable: bool | None, *, is_repeated: bool
) -> None:
    """A request whose response was lost is sent again by its method, unless the caller knows better."""

    async def fail_once(_: RawRequest) -> bytes:
        return json_response({}, status=502) if len(server.requests) == 1 else json_response({})

    async with RawServer(fail_once) as server, client_of(server.url) as client:
        if is_repeated:
            assert (await client.request(method, "/new", repeatable=repeatable)).status == 200
        else:
            with pytest.raises(errors.AmbiguousRequestError):
                await client.request(method, "/new", repeatable=repeatable)
    assert len(server.requests) == (2 if is_repeated else 1)


@pytest.mark.parametrize(
    "path",
    ["tasks", "", "//evil.invalid/x", "/a/../b", "/..", "/%2e%2E/x", "/a?b=c", "/a#b", "/a b", "/{x}", "/a\r\nb",
     "/%zz", "https://evil.invalid/", 5, "/a//b", "/\u00e9"],
)  # fmt: skip
async def test_a_request_goes_nowhere_else(path: Any) -> None:
    """A path that isn't one below the base URL is refused before anything is sent."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match="path must"):
            await client.request("GET", path)
    assert server.requests == []


@pytest.mark.parametrize(
    "wrong",
    [{"method": "get"}, {"method": "GET /x"}, {"method": None}, {"query": [("a", 1)]}, {"query": {"a": None}},
     {"query": {"a": True}}, {"query": {5: "a"}}, {"json": {"a": {1}}}],
)  # fmt: skip
async def test_a_request_that_cannot_be_right_is_refused(wrong: dict[str, Any]) -> None:
    """Methods, queries and bodies of wrong forms are refused, and nothing is sent."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match=r"method|query|JSON"):
            arguments: dict[str, Any] = {"method": "POST", "path": "/x"} | wrong
            await client.request(**arguments)
    assert server.requests == []


async def test_on_response_sees_each_response() -> None:
    """It is called for each attempt, of calls, streams and uploads, with the path's template and the task."""
    seen: list[ResponseInfo] = []
    statuses = iter([503, 200, 404, 200])

    async def respond(_: RawRequest) -> bytes:
        return json_response({"id": "t1", "status": "running"}, status=next(statuses), Request_Id="r")

    async with RawServer(respond) as server, client_of(server.url, on_response=seen.append) as client:
        await client.tasks.get("t1")
        with pytest.raises(errors.NotFoundError):
            await client.webhooks.get("w1")
        await client.with_options(headers={"X-A": "b"}).health()
    assert [(info.method, info.path, info.status, info.attempt, info.task_id) for info in seen] == [
        ("GET", "/tasks/{task_id}", 503, 1, "t1"),
        ("GET", "/tasks/{task_id}", 200, 2, "t1"),
        ("GET", "/webhooks/{webhook_id}", 404, 1, None),
        ("GET", "/health", 200, 1, None),
    ]
    assert {(info.request_id, info.headers["request-id"]) for info in seen} == {("r", "r")}
    assert all(info.elapsed >= 0 for info in seen)
    assert KEY not in repr(seen)


async def test_on_response_sees_streams_and_signed_urls(rebyte_emulator: Emulator) -> None:
    """A stream's connect names its task; an upload to a signed URL shows neither address nor key."""
    seen: list[ResponseInfo] = []
    async with AsyncRebyte(rebyte_emulator.api_key, base_url=rebyte_emulator.url, on_response=seen.append) as client:
        await client.files.upload(b"x", filename="a")
        task = await client.tasks.create("x")
        await client.tasks.events(task.id).until_done()
    paths = [(info.path, info.task_id) for info in seen]
    assert paths[:3] == [("/files", None), ("a signed URL", None), ("/tasks", None)]
    assert ("/tasks/{task_id}/events", task.id) in paths


async def test_a_failure_of_on_response_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What the function raises is in the log, and the call has its response all the same."""

    def fail(info: ResponseInfo) -> None:
        raise ValueError(info.path)

    async with RawServer(handler) as server, client_of(server.url, on_response=fail) as client:
        assert (await client.tasks.get("t1")).id == "t1"
    assert "on_response failed for GET /tasks/{task_id}" in caplog.text


@pytest.mark.parametrize("wrong", [5, "print", test_a_failure_of_on_response_is_logged])
def test_on_response_is_a_plain_function(wrong: Any) -> None:
    """What can't be called, or would have to be awaited, is refused when the client is made."""
    with pytest.raises(errors.ConfigurationError, match="on_response must be"):
        AsyncRebyte(KEY, on_response=wrong)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda client: client.tasks.get(Task(id="t1")),
            r"task_id must be a string, not Task\(id='t1'\): pass task\.id",
        ),
        (lambda client: client.tasks.get(client), "task_id must be a string that isn't empty, not <AsyncRebyte"),
        (lambda client: client.tasks.cancel(InitEvent(prompt_id="p")), "task_id must be a string that isn't empty"),
        (lambda client: client.tasks.prompt_events("t1", InitEvent(prompt_id="p")), r"pass init_event\.prompt_id"),
        (lambda client: client.tasks.create("x", workspace_id=Task(id="t1", workspace_id="c1")), r"task\.workspace_id"),
        (lambda client: client.tasks.create("x", workspace_id=AgentComputer(id="c1")), r"pass agent_computer\.id"),
        (lambda client: client.agent_computers.get(AgentComputer(id="c1")), r"pass agent_computer\.id"),
        (lambda client: client.artifacts.list(Task(id="t1", workspace_id="c1")), r"pass task\.workspace_id"),
        (lambda client: client.artifacts.read("c1", Artifact(filename="a.md")), r"pass artifact\.filename"),
        (lambda client: client.webhooks.delete(Webhook(id="w1")), r"pass webhook\.id"),
    ],
)
async def test_a_model_in_the_place_of_a_string_is_named(call: Callable[[Any], Awaitable[object]], words: str) -> None:
    """A model that is given where its id or its name belongs is refused with what to pass, before anything is sent."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError, match=words):
            await call(client)
    assert server.requests == []


def test_reprs_name_the_client() -> None:
    """Resources and listings are one line each, without internals."""
    client = AsyncRebyte(KEY, base_url="https://a.invalid/v1")
    resources = (client.tasks, client.agent_computers, client.files, client.artifacts, client.webhooks)
    assert [repr(resource) for resource in resources] == [
        f"<{name} of https://a.invalid/v1>" for name in ("Tasks", "AgentComputers", "Files", "Artifacts", "Webhooks")
    ]
    assert repr(client.tasks.list(limit=5)).startswith("<Listing of pages of 5 from 0 on: ")
    assert repr(client.webhooks.list()).startswith("<Listing of everything: ")
    assert client.tasks is client.tasks
