"""Receivers in real servers get the deliveries of the emulator, verified and once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import fastapi
import pytest
from aiohttp import web
from attrs import define, field
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from webhooks.rsa_keys import KeyPair

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import (
    Deliveries,
    Emulator,
    Fault,
    LateDelivery,
    RepeatedDelivery,
    StaleDelivery,
    TamperedDelivery,
    UnreadableDelivery,
)
from rebyte_async.webhooks import WebhookEvent, WebhookReceiver, WebhookVerifier, sign
from support.serving import serve_aiohttp, serve_asgi

SECRET = "s3cret-of-the-tests"
PATH = "/hooks/rebyte"
EVENTS = ["task.created", "task.running", "task.completed"]
CHUNK = 100


def _aiohttp(receiver: WebhookReceiver) -> web.Application:
    app = web.Application()
    receiver.setup(app, PATH)
    return app


def _aiohttp_read_before(receiver: WebhookReceiver) -> web.Application:
    @web.middleware
    async def reading(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await request.read()
        return await handler(request)

    app = web.Application(middlewares=[reading])
    app.router.add_post(PATH, receiver.aiohttp_handler)
    return app


def _within(receiver: WebhookReceiver) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        async with receiver:
            yield

    return lifespan


def _starlette(receiver: WebhookReceiver) -> ASGIApp:
    return Starlette(routes=[Route(PATH, receiver)], lifespan=_within(receiver))


def _starlette_mount(receiver: WebhookReceiver) -> ASGIApp:
    return Starlette(routes=[Mount("/hooks", Starlette(routes=[Route("/rebyte", receiver)]))])


def _starlette_read_before(receiver: WebhookReceiver) -> ASGIApp:
    async def read(request: Request, call_next: RequestResponseEndpoint) -> Response:
        await request.body()
        return await call_next(request)

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=read)]
    return Starlette(routes=[Route(PATH, receiver)], middleware=middleware)


class Replaying:
    """A middleware that reads a body, and passes it on in two pieces, one of them empty."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a request and replay it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = await Request(scope, receive).body()
        messages: list[Message] = [{"type": "http.request", "more_body": True}, {"type": "http.request", "body": body}]

        async def replay() -> Message:
            return messages.pop(0)

        return await self.app(scope, replay, send)


def _starlette_replayed(receiver: WebhookReceiver) -> ASGIApp:
    return Starlette(routes=[Route(PATH, receiver)], middleware=[Middleware(Replaying)])


def _fastapi(receiver: WebhookReceiver) -> ASGIApp:
    app = fastapi.FastAPI(lifespan=_within(receiver))
    app.router.routes.append(Route(PATH, receiver))
    return app


def _fastapi_route(receiver: WebhookReceiver) -> ASGIApp:
    app = fastapi.FastAPI()

    async def hook(request: fastapi.Request) -> fastapi.Response:
        receipt = await receiver.receive(request.headers, await request.body())
        return fastapi.Response(status_code=receipt.status)

    app.add_api_route(PATH, hook, methods=["POST"])
    return app


def _bare(receiver: WebhookReceiver) -> ASGIApp:
    return receiver.asgi


APPS: dict[str, Callable[[WebhookReceiver], Any]] = {
    "aiohttp": _aiohttp,
    "aiohttp after a middleware that read": _aiohttp_read_before,
    "Starlette": _starlette,
    "Starlette mount": _starlette_mount,
    "Starlette after a middleware that read": _starlette_read_before,
    "Starlette after one that replays": _starlette_replayed,
    "FastAPI": _fastapi,
    "FastAPI route": _fastapi_route,
    "uvicorn alone": _bare,
}
KINDS = pytest.mark.parametrize("kind", ["aiohttp", "uvicorn alone"])


@asynccontextmanager
async def serve(kind: str, receiver: WebhookReceiver) -> AsyncGenerator[str]:
    """Serve a receiver in an application, and yield the receiver's URL."""
    app = APPS[kind](receiver)
    async with serve_aiohttp(app) if kind.startswith("aiohttp") else serve_asgi(app) as origin:
        yield origin + PATH


@define
class Recorder:
    """A handler that records its events."""

    events: list[WebhookEvent] = field(factory=list)
    changed: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, event: WebhookEvent) -> None:
        """Record an event."""
        self.events.append(event)
        self.changed.set()

    async def names(self, count: int) -> list[str]:
        """Wait for a number of events, and return their names."""
        while len(self.events) < count:
            self.changed.clear()
            await self.changed.wait()
        return [str(event.event) for event in self.events]


@pytest.mark.parametrize("kind", APPS)
async def test_the_end_of_a_task_reaches_the_application_verified_and_once(
    emulator: Emulator, client: AsyncRebyte, keys: KeyPair, kind: str
) -> None:
    """Every server passes on each event once, although it is delivered three times."""
    emulator.faults.add(RepeatedDelivery(3), Deliveries("task.completed"), times=None)
    receiver = WebhookReceiver(WebhookVerifier(SECRET, keys.public), client=client)
    if kind == "FastAPI route":
        receiver = WebhookReceiver(WebhookVerifier(SECRET), client=client)
    every, ends = Recorder(), Recorder()
    receiver.on(every)
    receiver.on("task.completed")(ends)
    async with serve(kind, receiver) as url:
        await client.webhooks.create(url, EVENTS, secret=SECRET)
        task = await client.tasks.create("Say hello")
        ended = await receiver.wait(task.id)
        await emulator.delivered("task.completed", count=3)
        await every.names(3)

    assert (ended.status, ended.final_result) == ("completed", "Hello")
    assert [(event.event, event.task_id) for event in ends.events] == [("task.completed", task.id)]
    assert sorted(await every.names(3)) == sorted(EVENTS)
    assert [len(delivery.attempts) for delivery in emulator.deliveries] == [1] * 5
    stats = receiver.stats()
    assert (stats.accepted, stats.repeated, stats.forged, stats.handled) == (3, 2, 0, 4)


@KINDS
async def test_forged_deliveries_get_a_401(emulator: Emulator, client: AsyncRebyte, keys: KeyPair, kind: str) -> None:
    """A wrong secret or signature, a changed body, no proof, an old delivery: none reaches a handler."""
    faults: tuple[Fault, ...] = (
        TamperedDelivery("secret"),
        TamperedDelivery("signature"),
        TamperedDelivery("body"),
        TamperedDelivery("unsigned"),
        StaleDelivery(3600),
    )
    for number, fault in enumerate(faults, 1):
        emulator.faults.add(fault, times=None)
        receiver = WebhookReceiver(WebhookVerifier(SECRET, keys.public))
        recorder = Recorder()
        receiver.on(recorder)
        async with serve(kind, receiver) as url:
            webhook = await client.webhooks.create(url, ["task.completed"], secret=SECRET)
            await client.tasks.run("Say hello")
            (*_, delivery) = await emulator.delivered("task.completed", outcome="failed", count=number)
            await client.webhooks.delete(webhook.id)
        assert {attempt.status for attempt in delivery.attempts} == {401}
        assert (recorder.events, receiver.stats().forged, receiver.stats().accepted) == ([], 4, 0)
        emulator.faults.clear()


@KINDS
async def test_a_genuine_delivery_that_cannot_be_read_is_not_sent_again(
    emulator: Emulator, client: AsyncRebyte, keys: KeyPair, kind: str
) -> None:
    """An unreadable genuine delivery gets a 200, because sending it again would not help, and is counted."""
    emulator.faults.add(UnreadableDelivery(b"\xff{"))
    receiver = WebhookReceiver(WebhookVerifier(SECRET, keys.public))
    recorder = Recorder()
    receiver.on(recorder)
    async with serve(kind, receiver) as url:
        await client.webhooks.create(url, ["task.completed"], secret=SECRET)
        await client.tasks.run("Say hello")
        (delivery,) = await emulator.delivered("task.completed")
    assert [attempt.status for attempt in delivery.attempts] == [200]
    assert (recorder.events, receiver.stats().unreadable, receiver.stats().forged) == ([], 1, 0)


@KINDS
async def test_deliveries_may_come_in_any_order(emulator: Emulator, client: AsyncRebyte, kind: str) -> None:
    """Deliveries out of order are all accepted, and end a wait."""
    emulator.faults.add(LateDelivery(2), Deliveries("task.created"))
    receiver = WebhookReceiver(WebhookVerifier(public_key=client.webhooks.public_key), client=client)
    async with serve(kind, receiver) as url:
        await client.webhooks.create(url, EVENTS)
        task = await client.tasks.create("Say hello")
        assert (await receiver.wait(task.id)).status == "completed"
        await emulator.delivered(count=3)
        names = [(await anext(aiter(receiver))).event for _ in EVENTS]
    assert names == ["task.running", "task.completed", "task.created"]


@KINDS
async def test_behind_a_proxy_the_registered_url_counts(
    keys: KeyPair, emulator: Emulator, client: AsyncRebyte, kind: str
) -> None:
    """With `url=` a delivery that came by another host and path is genuine; without it, it isn't."""
    recorder = Recorder()
    async with aiohttp.ClientSession() as session:

        async def proxy(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name: request.headers[name] for name in request.headers if name.startswith("X-Webhook-")}
            async with session.post(inner, data=body, headers=headers) as response:
                return web.Response(status=response.status)

        outside = web.Application()
        outside.router.add_post("/public", proxy)
        async with serve_aiohttp(outside) as origin:
            public = f"{origin}/public?tenant=7"
            await client.webhooks.create(public, ["task.completed"], secret=SECRET)
            for url, outcome in ((public, "delivered"), (None, "failed")):
                receiver = WebhookReceiver(WebhookVerifier(SECRET, keys.public), url=url)
                receiver.on(recorder)
                async with serve(kind, receiver) as inner:
                    await client.tasks.run("Say hello")
                    await emulator.delivered("task.completed", outcome=outcome)  # type: ignore[arg-type]
    assert await recorder.names(1) == ["task.completed"]


@KINDS
async def test_a_host_that_the_sender_chose_proves_nothing(keys: KeyPair, kind: str) -> None:
    """With a public key alone, a delivery for another URL is refused even if the request names its host."""
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url=f"http://theirs.example{PATH}")
    receiver = WebhookReceiver(WebhookVerifier(public_key=keys.public))
    async with serve(kind, receiver) as url, aiohttp.ClientSession() as session:
        headers = {**delivery.headers, "Host": "theirs.example"}
        async with session.post(url, data=delivery.body, headers=headers) as response:
            assert response.status == 500
    assert (receiver.stats().accepted, receiver.stats().refused) == (0, 1)


async def _pieces(size: int, pause: asyncio.Event | None = None) -> AsyncGenerator[bytes]:
    for _ in range(size // CHUNK):
        yield b" " * CHUNK
    if pause is not None:
        await pause.wait()


@KINDS
async def test_requests_that_are_no_deliveries_are_refused(kind: str) -> None:
    """A body too large by its length or as it comes, another method, a compressed body: each has its status."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET), max_body=1_000)
    good = sign({"taskId": "t1"}, secret=SECRET)
    async with serve(kind, receiver) as url, aiohttp.ClientSession() as session:

        async def post(data: Any, **headers: str) -> int:
            async with session.post(url, data=data, headers={**good.headers, **headers}) as response:
                assert await response.read() == b"" or kind == "aiohttp"
                return response.status

        assert await post(good.body) == 200
        assert await post(b" " * 1_000) == 200  # genuine, and no JSON
        assert await post(b" " * 1_001) == 413
        assert await post(_pieces(1_000)) == 200
        assert await post(_pieces(1_100)) == 413
        packed = gzip.compress(good.body)
        assert await post(packed, **{"Content-Encoding": "gzip"}) == 415
        async with session.get(url, headers=good.headers) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
    stats = receiver.stats()
    assert (stats.accepted, stats.unreadable, stats.repeated, stats.too_large) == (1, 2, 0, 2)


@KINDS
async def test_a_body_that_does_not_come_gets_a_408(kind: str) -> None:
    """A sender that stops in the middle of a body gets a 408."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET), read_timeout=0.05)
    pause = asyncio.Event()
    async with serve(kind, receiver) as url, aiohttp.ClientSession() as session:
        async with session.post(url, data=_pieces(CHUNK, pause)) as response:
            assert response.status == 408
        pause.set()


@KINDS
async def test_a_sender_that_disconnects_does_no_harm(kind: str) -> None:
    """A body that is cut off is neither a delivery nor an error of the application."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET))
    async with serve(kind, receiver) as url, aiohttp.ClientSession() as session:
        host, port = url.removeprefix("http://").partition("/")[0].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        del reader
        delivery = sign({"taskId": "t1"}, secret=SECRET)
        async with session.post(url, data=delivery.body, headers=delivery.headers) as response:
            assert response.status == 200
    assert receiver.stats().accepted == 1


@pytest.mark.parametrize("kind", ["aiohttp", "Starlette", "FastAPI", "uvicorn alone"])
async def test_handlers_finish_when_the_server_stops(kind: str) -> None:
    """The response comes before the handler has finished, and the stopping server waits for the handler."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET))
    go = asyncio.Event()
    done = list[str]()

    @receiver.on
    async def slow(event: WebhookEvent) -> None:
        await go.wait()
        await asyncio.sleep(0.02)
        done.append(event.task_id)

    async with serve(kind, receiver) as url, aiohttp.ClientSession() as session:
        delivery = sign({"taskId": "t1"}, secret=SECRET)
        async with session.post(url, data=delivery.body, headers=delivery.headers) as response:
            assert (response.status, done) == (200, [])
        go.set()
    assert done == ["t1"]
    assert (await receiver.receive(*sign({"taskId": "t2"}, secret=SECRET))).status == 503


@pytest.mark.parametrize("kind", ["aiohttp", "Starlette", "FastAPI", "uvicorn alone"])
async def test_one_receiver_may_be_served_several_times(kind: str) -> None:
    """Each start of a server opens the receiver again."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET))
    for number in range(2):
        delivery = sign({"taskId": f"t{number}"}, secret=SECRET)
        async with (
            serve(kind, receiver) as url,
            aiohttp.ClientSession() as session,
            session.post(url, data=delivery.body, headers=delivery.headers) as response,
        ):
            assert response.status == 200
        assert (await receiver.receive(*delivery)).status == 503


async def call(receiver: WebhookReceiver, scope: Scope, *messages: dict[str, Any]) -> list[Message]:
    """Call a receiver as an ASGI server does, and return the messages that it sends."""
    incoming = list(messages)
    sent = list[Message]()

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await receiver(scope, receive, send)
    return sent


async def test_a_websocket_is_refused() -> None:
    """A WebSocket of an ASGI server is closed."""
    sent = await call(WebhookReceiver(WebhookVerifier(SECRET)), {"type": "websocket"}, {"type": "websocket.connect"})
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize(
    ("headers", "status"), [([], 500), ([(b"host", b"[::")], 500), ([(b"host", b"localhost.:80")], 401)]
)
async def test_a_url_that_cannot_be_found_is_a_fault_of_the_set_up(
    keys: KeyPair, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    """Without a host that is this machine, a public key alone needs `url=`."""
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url="http://other.example/")
    pairs = [*headers, *((name.lower().encode(), value.encode()) for name, value in delivery.headers.items())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
    receiver = WebhookReceiver(WebhookVerifier(public_key=keys.public))
    start, _ = await call(receiver, scope, {"type": "http.request", "body": delivery.body})
    assert start["status"] == status


async def test_unknown_messages_of_a_lifespan_are_ignored() -> None:
    """A server may send messages that are newer than the package."""
    messages = [{"type": f"lifespan.{kind}"} for kind in ("startup", "paused", "shutdown")]
    sent = await call(WebhookReceiver(WebhookVerifier(SECRET)), {"type": "lifespan"}, *messages)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_receiver_knows_its_url() -> None:
    """The registered URL is kept exactly as it was given."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET), url="https://A.example/hook?x=%7e")
    assert receiver.url == "https://A.example/hook?x=%7e"
    assert repr(receiver) == "<WebhookReceiver at https://A.example/hook?x=%7e>"
    assert WebhookReceiver(WebhookVerifier(SECRET)).url is None
