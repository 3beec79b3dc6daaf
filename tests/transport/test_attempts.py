"""Which requests are sent again, and which never are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import anyio
import pytest
from yarl import URL

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from rebyte_async._clock import Time
from rebyte_async.types import Task
from support.clients import KEY, QUICK, client_of
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response

TASK = {"id": "t1", "workspaceId": "w1", "url": "u", "status": "running", "createdAt": "2026-01-02T03:04:05.678Z"}
PROMPT = {"promptId": "p2"}
Call = Callable[[AsyncRebyte], Awaitable[Any]]
STARTERS: dict[str, Call] = {
    "create": lambda client: client.tasks.create("Do it"),
    "prompt": lambda client: client.tasks.prompt("t1", "More"),
}
REPEATABLE: dict[str, Call] = {
    "get": lambda client: client.tasks.get("t1"),
    "list": lambda client: client.tasks.list(),
    "cancel": lambda client: client.tasks.cancel("t1"),
    "delete": lambda client: client.tasks.delete("t1"),
    "set_visibility": lambda client: client.tasks.set_visibility("t1", "public"),
    "content": lambda client: client.tasks.content("t1"),
}


def body_of(request: RawRequest) -> bytes:
    """Return a success for any of the calls."""
    document: dict[str, Any] = {
        "PATCH": {"visibility": "public", "shareUrl": "https://s.invalid/x"},
        "DELETE": {},
    }.get(request.method, TASK | PROMPT | {"data": [], "total": 0, "prompts": []})
    return json_response(document)


class Script:
    """A handler that returns the scripted replies first, then successes."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)

    async def __call__(self, request: RawRequest) -> Any:
        return self.replies.pop(0) if self.replies else body_of(request)


BROKEN = {
    "reset": DROP,
    "500": json_response({"error": {"code": "internal_error", "message": "oops"}}, 500),
    "502 page": http_response(502, b"<html>bad</html>", Content_Type="text/html"),
    "503": http_response(503),
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    "no http": b"SSH-2.0-OpenSSH_9\r\n\r\n",
}


def broken(name: str) -> Any:
    """Return a way to fail; after bytes that are no whole response the connection ends."""
    reply = BROKEN[name]
    if name not in {"half an answer", "no http"}:
        return reply

    async def cut() -> Any:
        yield reply

    return cut()


@pytest.mark.parametrize("failure", BROKEN)
@pytest.mark.parametrize("call", STARTERS)
async def test_a_call_that_starts_an_agent_is_sent_once(call: str, failure: str) -> None:
    """After a lost or failed response a create or a prompt isn't repeated, but raised as ambiguous with its cause."""
    async with RawServer(Script(broken(failure))) as server, client_of(server.url) as client:
        with pytest.raises(errors.AmbiguousRequestError) as caught:
            await STARTERS[call](client)
        assert len(server.requests) == 1
    assert isinstance(caught.value.__cause__, errors.TransportError | errors.ServerError)
    assert caught.value.attempts == 1
    assert caught.value.method == "POST"


@pytest.mark.parametrize("failure", BROKEN)
@pytest.mark.parametrize("call", REPEATABLE)
async def test_everything_else_is_tried_again(call: str, failure: str) -> None:
    """After a lost or failed response any other call makes another attempt."""
    async with RawServer(Script(broken(failure), broken(failure))) as server, client_of(server.url) as client:
        await REPEATABLE[call](client)
        assert len(server.requests) == 3
        assert client.stats().retries == 2
        assert client.stats().requests == 3


@pytest.mark.parametrize("injected", [False, True], ids=["own", "injected"])
async def test_aiohttp_repeats_nothing_silently(*, injected: bool) -> None:
    """With one attempt a lost GET or DELETE arrives once, also on a pooled connection, on which aiohttp repeats it."""
    policy = RetryPolicy(max_attempts=1)
    async with aiohttp.ClientSession() as session, RawServer(Script()) as server:
        async with client_of(server.url, retry=policy, session=session if injected else None) as client:
            for call in (lambda: client.tasks.get("t1"), lambda: client.tasks.delete("t1")):
                server.handler = Script()
                await client.tasks.get("t1")
                server.handler = Script(DROP)
                before = len(server.requests)
                with pytest.raises(errors.TransportError):
                    await call()
                assert len(server.requests) == before + 1
                assert server.requests[-1].peer == server.requests[-2].peer


@pytest.mark.parametrize(
    "refusal", [http_response(429), http_response(429, Retry_After="0"), http_response(503, Retry_After="0")]
)
@pytest.mark.parametrize("call", STARTERS)
async def test_a_server_that_did_nothing_may_be_asked_again(call: str, refusal: bytes) -> None:
    """A 429, and a 503 with Retry-After, say that nothing was started."""
    async with RawServer(Script(refusal, refusal)) as server, client_of(server.url) as client:
        await STARTERS[call](client)
        assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
@pytest.mark.parametrize("call", [*STARTERS, *REPEATABLE])
async def test_a_refusal_is_raised_as_itself_at_once(call: str, status: int) -> None:
    """A 4xx is neither repeated nor ambiguous."""
    refusal = json_response({"error": {"code": "nope", "message": "no"}}, status)
    async with RawServer(Script(refusal)) as server, client_of(server.url) as client:
        with pytest.raises(errors.APIError, match="no") as caught:
            await (STARTERS | REPEATABLE)[call](client)
        assert len(server.requests) == 1
    assert caught.value.status == status
    assert not isinstance(caught.value, errors.ServerError)


@pytest.mark.parametrize("call", STARTERS)
async def test_a_connection_that_was_never_made_is_tried_again(call: str, unused_port: int) -> None:
    """If nothing listens, nothing was sent: also a create is tried again, and the error says how often."""
    async with client_of(f"http://127.0.0.1:{unused_port}/v1") as client:
        with pytest.raises(errors.ConnectError) as caught:
            await STARTERS[call](client)
        assert client.stats().requests == 4
    assert caught.value.attempts == 4


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"hello": 1}'])
async def test_an_unreadable_success_of_a_create_is_ambiguous(body: bytes) -> None:
    """Something was started whose id isn't known: that is more than a decoding error."""
    async with RawServer(Script(http_response(201, body))) as server, client_of(server.url) as client:
        with pytest.raises(errors.AmbiguousRequestError) as caught:
            await client.tasks.create("Do it")
        assert len(server.requests) == 1
    assert isinstance(caught.value.__cause__, errors.DecodeError)


@pytest.mark.parametrize("injected", [False, True], ids=["own", "injected"])
async def test_a_create_takes_a_new_connection(injected: bool) -> None:
    """A create never goes out on a pooled connection, which the server might just have closed.

    Also in an injected session, and if the server would keep the connection.
    """
    async with RawServer(Script()) as server, aiohttp.ClientSession() as session:
        client = client_of(server.url, session=session if injected else None)
        for _ in range(2):
            await client.tasks.get("t1")
            await client.tasks.create("Do it")
        await client.aclose()
        reads = {request.peer for request in server.seen("GET")}
        creates = {request.peer for request in server.seen("POST")}
    assert len(reads) == 1
    assert len(creates) == 2
    assert not reads & creates


@pytest.mark.parametrize("lost", ["reset", "500"])
async def test_a_delete_whose_response_was_lost_is_done(lost: str) -> None:
    """The first attempt had deleted it, so the 404 of the second is a success."""
    gone = json_response({"error": {"code": "not_found", "message": "gone"}}, 404)
    async with RawServer(Script(BROKEN[lost], gone)) as server, client_of(server.url) as client:
        await client.tasks.delete("t1")
        assert [request.method for request in server.requests] == ["DELETE", "DELETE"]


async def test_a_404_after_a_429_is_still_a_404() -> None:
    """A server that did nothing can't have deleted anything."""
    gone = json_response({"error": {"code": "not_found", "message": "gone"}}, 404)
    async with RawServer(Script(http_response(429), gone)) as server, client_of(server.url) as client:
        with pytest.raises(errors.NotFoundError):
            await client.tasks.delete("t1")


async def test_one_429_pauses_the_whole_client() -> None:
    """While the server asks for a pause no call or stream sends anything; afterwards all continue."""
    first = http_response(429, Retry_After="1")
    arrivals: list[float] = []

    async def handler(request: RawRequest) -> Any:
        arrivals.append(time.monotonic())
        return first if len(arrivals) == 1 else body_of(request)

    async with RawServer(handler) as server, client_of(server.url) as client, anyio.create_task_group() as group:
        group.start_soon(client.tasks.get, "t1")
        while not arrivals:
            await anyio.sleep(0.005)
        await anyio.sleep(0.05)
        for _ in range(20):
            group.start_soon(client.with_options(retry=QUICK).tasks.get, "t1")
    assert len(arrivals) == 22
    assert min(arrivals[1:]) - arrivals[0] >= 0.98


async def test_a_longer_retry_after_is_raised_at_once() -> None:
    """A pause longer than the policy waits out is raised to the caller, and holds up no other call."""
    async with RawServer(Script(http_response(429, Retry_After="121"))) as server, client_of(server.url) as client:
        with pytest.raises(errors.RateLimitedError) as caught:
            await client.tasks.get("t1")
        assert caught.value.retry_after == 121
        assert (await client.tasks.get("t1")).id == "t1"
        assert len(server.requests) == 2


async def test_the_budget_keeps_a_fleet_from_hammering_a_sick_service() -> None:
    """All calls of a client spend from one budget; when it is spent, each call fails after its first attempt."""

    async def handler(_: RawRequest) -> Any:
        return http_response(500)

    policy = RetryPolicy(base_delay=0.001, max_delay=0.001, budget=10)
    async with RawServer(handler) as server, client_of(server.url, retry=policy) as client:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(_failing, client)
        assert len(server.requests) == 110
        assert client.stats().retries == 10


async def _failing(client: AsyncRebyte) -> None:
    with pytest.raises(errors.InternalServerError):
        await client.tasks.get("t1")


async def test_a_success_refunds_the_budget() -> None:
    """Five successes pay for one more retry."""
    policy = RetryPolicy(base_delay=0, max_delay=0, budget=1)
    failure = http_response(500)
    async with RawServer(Script(failure)) as server, client_of(server.url, retry=policy) as client:
        await client.tasks.get("t1")
        handler: Any = server.handler
        handler.replies.append(failure)
        with pytest.raises(errors.InternalServerError):
            await client.tasks.get("t1")
        for _ in range(5):
            await client.tasks.get("t1")
        handler.replies.append(failure)
        await client.tasks.get("t1")


async def test_a_silent_server_is_a_timeout() -> None:
    """A call without a response fails after `read`; one that starts an agent fails after `create`, as ambiguous."""

    async def handler(_: RawRequest) -> Any:
        await anyio.sleep_forever()

    timeouts = Timeouts(read=0.05, create=0.1)
    policy = RetryPolicy(max_attempts=1)
    async with RawServer(handler) as server, client_of(server.url, timeouts=timeouts, retry=policy) as client:
        with pytest.raises(errors.RequestTimeoutError):
            await client.tasks.get("t1")
        with pytest.raises(errors.AmbiguousRequestError) as caught:
            await client.tasks.create("Do it")
    assert isinstance(caught.value.__cause__, errors.RequestTimeoutError)
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_trickling_response_is_a_timeout() -> None:
    """A body that comes a byte at a time and never ends doesn't hold a call forever."""

    async def trickle() -> Any:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        while True:
            yield b" "
            await anyio.sleep(0.01)

    async def handler(_: RawRequest) -> Any:
        return trickle()

    timeouts = Timeouts(read=0.2)
    async with (
        RawServer(handler) as server,
        client_of(server.url, timeouts=timeouts, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        with pytest.raises(errors.RequestTimeoutError):
            await client.tasks.get("t1")


async def test_waiting_for_a_permit_is_no_timeout() -> None:
    """Of three hundred calls on a hundred permits those that wait don't fail, however slow the others are."""

    async def handler(request: RawRequest) -> Any:
        await anyio.sleep(1.0)
        return body_of(request)

    timeouts = Timeouts(connect=2.5, read=2.5)  # the last hundred take 3 s with their wait, 1 s without
    policy = RetryPolicy(max_attempts=1)
    async with RawServer(handler) as server, client_of(server.url, timeouts=timeouts, retry=policy) as client:
        async with anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(client.tasks.get, "t1")
        assert server.connections == 100
        assert client.stats().in_flight == 0


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    """Cancelling closes the connection at once."""
    arrived, gone = anyio.Event(), anyio.Event()

    async def handler(_: RawRequest) -> Any:
        arrived.set()
        try:
            await anyio.sleep_forever()
        finally:
            gone.set()

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.tasks.get, "t1")
            await arrived.wait()
            group.cancel_scope.cancel()
        assert client.stats().in_flight == 0
        assert isinstance(await _next_call(client, server), errors.RebyteError | Task)


async def _next_call(client: AsyncRebyte, server: RawServer) -> Any:
    server.handler = Script()
    return await client.tasks.get("t1")


async def test_the_key_and_the_headers_arrive() -> None:
    """Every call carries the key, the client's headers, and says who it is."""
    async with RawServer(Script()) as server, client_of(server.url, headers={"X-Team": "blue"}) as client:
        await client.with_options(headers={"X-Run": "7"}).tasks.create("Do it", extra={"newField": [1]})
    (request,) = server.requests
    assert request.headers["api_key"] == KEY
    assert request.headers["x-team"] == "blue"
    assert request.headers["x-run"] == "7"
    assert request.headers["user-agent"].startswith("rebyte-async/")
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"prompt": "Do it", "newField": [1]}
    assert URL(request.target).query_string == ""


async def test_closing_the_client_ends_its_calls() -> None:
    """A call that waits for its response fails when the client is closed."""

    async def handler(_: RawRequest) -> Any:
        await anyio.sleep_forever()

    async with RawServer(handler) as server:
        client = client_of(server.url)
        with anyio.fail_after(2):
            async with anyio.create_task_group() as group:

                async def call() -> None:
                    with pytest.raises(errors.RebyteError):
                        await client.tasks.get("t1")

                group.start_soon(call)
                while not server.requests:
                    await anyio.sleep(0.005)
                await client.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await client.tasks.get("t1")


async def test_a_call_that_waits_for_its_next_attempt_holds_no_permit() -> None:
    """A hundred calls that back off hold up no other call."""

    async def handler(request: RawRequest) -> bytes:
        return http_response(500) if "bad" in request.path else json_response({"id": "good"})

    resting = 0
    over = asyncio.Event()

    async def rest(_: float) -> None:
        nonlocal resting
        resting += 1
        await over.wait()

    policy = RetryPolicy(max_attempts=2, budget=1_000)
    async with RawServer(handler) as server, client_of(server.url, retry=policy, _time=Time(sleep=rest)) as client:
        bad = [asyncio.ensure_future(client.tasks.get("bad")) for _ in range(100)]
        while resting < 100:
            await asyncio.sleep(0.005)
        with anyio.fail_after(5):
            assert (await client.tasks.get("good")).id == "good"
        over.set()
        assert len(await asyncio.gather(*bad, return_exceptions=True)) == 100
        assert client.stats().in_flight == 0


@pytest.mark.parametrize("status", [408, 425])
async def test_what_came_too_late_or_too_early_is_sent_again(status: int) -> None:
    """Gateways send it for a connection that was idle; a create isn't repeated, and leaves no doubt."""
    replies: list[bytes] = []

    async def handler(_: RawRequest) -> bytes:
        return replies.pop() if replies else json_response({"id": "t1", "status": "running"})

    policy = RetryPolicy(max_attempts=3, base_delay=0)
    async with RawServer(handler) as server, client_of(server.url, retry=policy) as client:
        replies = [http_response(status), http_response(status)]
        assert (await client.tasks.get("t1")).id == "t1"
        replies = [http_response(status)]
        with pytest.raises(errors.BadRequestError):
            await client.tasks.create("Do it")
        replies = [http_response(status)]
        await client.artifacts.read("w1", "a")
    assert len(server.seen("POST")) == 1


async def test_a_date_to_retry_at_is_meant_by_the_servers_clock() -> None:
    """This machine's clock may be wrong, and then the wait would be far too long or none."""
    there = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)

    async def handler(_: RawRequest) -> bytes:
        later = format_datetime(there + timedelta(seconds=7), usegmt=True)
        return http_response(429, Date=format_datetime(there, usegmt=True), Retry_After=later)

    async with RawServer(handler) as server, client_of(server.url, retry=RetryPolicy(max_attempts=1)) as client:
        with pytest.raises(errors.RateLimitedError) as caught:
            await client.tasks.get("t1")
    assert caught.value.retry_after == 7
