"""Webhooks: registration, and the public key."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rebyte_async import RetryPolicy, errors
from rebyte_async.types import Page, Webhook, WebhookEventName
from support.clients import client_of
from support.golden import WIRE, Call, assert_golden
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response

HOOK = Webhook(
    id="h1",
    url="https://hooks.invalid/x",
    events=("task.completed", "task.failed"),
    description="CI",
    has_secret=True,
    is_active=True,
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    failure_count=0,
)
PEM = json.loads((WIRE / "get_public_key.json").read_text())["response"]["publicKey"]
EVENTS = [WebhookEventName.TASK_COMPLETED, "task.failed"]
CASES: dict[str, tuple[Call, Any]] = {
    "create_webhook": (
        lambda c: c.webhooks.create("https://hooks.invalid/x", EVENTS, description="CI", secret="s3cret"),
        HOOK,
    ),
    "list_webhooks": (lambda c: c.webhooks.list(), Page((HOOK,), total=1, limit=1, offset=0)),
    "get_webhook": (lambda c: c.webhooks.get("h1"), HOOK),
    "delete_webhook": (lambda c: c.webhooks.delete("h1"), None),
    "get_public_key": (lambda c: c.webhooks.public_key(), PEM),
}


@pytest.mark.parametrize("name", CASES)
async def test_endpoints_follow_the_contract(name: str) -> None:
    """The request has exactly the contract's fields, and the response becomes the documented value."""
    await assert_golden(name, *CASES[name])


@pytest.mark.parametrize(
    "document", [{"webhooks": [{"id": "h1"}]}, {"data": [{"id": "h1"}]}, [{"id": "h1"}], {"webhooks": [], "data": [1]}]
)
async def test_the_list_is_found_under_any_key(document: Any) -> None:
    """The list may be under `webhooks`, under `data`, or bare."""

    async def handler(_: RawRequest) -> bytes:
        return json_response(document)

    async with RawServer(handler) as server, client_of(server.url) as client:
        hooks = [hook.id async for hook in client.webhooks.list()]
    assert hooks == ([] if isinstance(document, dict) and document.get("webhooks") == [] else ["h1"])


BASE64 = base64.b64encode(PEM.encode()).decode()


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"publicKey": PEM}),
        json.dumps({"public_key": PEM + "\n"}),
        json.dumps({"key": BASE64}),
        json.dumps(PEM),
        PEM,
        BASE64,
    ],
)
async def test_the_public_key_is_read_in_every_form(body: str) -> None:
    """The key may be JSON or plain text, PEM or the base64 of one."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, body.encode())

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert await client.webhooks.public_key() == PEM


@pytest.mark.parametrize("body", [b"", b"{}", b'{"publicKey": 5}', b"!!!", b"aGVsbG8=", b"[]", b"\xff"])
async def test_anything_but_a_key_is_a_decode_error(body: bytes) -> None:
    """A response without a key in PEM is refused."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, body)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError):
            await client.webhooks.public_key()


async def test_an_html_page_is_in_no_error() -> None:
    """The page of a gateway is in no error."""

    async def handler(_: RawRequest) -> bytes:
        return http_response(200, b"<!DOCTYPE html><title>Sign in</title>")

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError) as caught:
            await client.webhooks.public_key()
    assert caught.value.body is None


class Registry:
    """Registers webhooks, also those whose response is lost."""

    def __init__(self, *failures: Any, registers: bool = True) -> None:
        self.failures = list(failures)
        self.registers = registers
        self.webhooks: list[dict[str, Any]] = []

    async def __call__(self, request: RawRequest) -> Any:
        """Respond to a registration or a listing."""
        if request.method == "GET":
            return json_response({"webhooks": self.webhooks})
        if self.registers or not self.failures:
            self.webhooks.append({"id": f"h{len(self.webhooks) + 1}", "url": request.json["url"]})
        return self.failures.pop(0) if self.failures else json_response(self.webhooks[-1], 201)


LOST = [DROP, http_response(500), http_response(502), http_response(503)]
SOON = RetryPolicy(base_delay=0)


@pytest.mark.parametrize("failure", LOST)
async def test_a_registration_whose_response_was_lost_is_looked_for(failure: Any) -> None:
    """A second one would take another of three places, and deliver twice."""
    registry = Registry(failure)
    async with RawServer(registry) as server, client_of(server.url, retry=SOON) as client:
        assert (await client.webhooks.create("https://x.invalid", EVENTS)).id == "h1"
        assert (await client.webhooks.create("https://y.invalid", EVENTS)).id == "h2"
    assert [request.method for request in server.requests] == ["POST", "GET", "POST"]


async def test_a_registration_is_retried_and_its_limit_is_an_error() -> None:
    """It is retried where the listing has no such URL; a fourth webhook is refused by the server."""
    registry = Registry(DROP, http_response(500), registers=False)
    async with RawServer(registry) as server, client_of(server.url, retry=SOON) as client:
        assert (await client.webhooks.create("https://x.invalid", EVENTS)).id == "h1"
        assert len(server.seen("POST")) == 3
        registry.failures = [json_response({"error": {"code": "limit_exceeded", "message": "3"}}, 400)]
        with pytest.raises(errors.LimitExceededError):
            await client.webhooks.create("https://y.invalid", EVENTS)
        assert len(server.seen("POST")) == 4
        registry.failures = [http_response(500) for _ in range(10)]
        with pytest.raises(errors.InternalServerError):
            await client.webhooks.create("https://z.invalid", EVENTS)
        assert len(server.seen("POST")) == 8


async def test_a_lost_registration_is_not_repeated_where_the_listing_fails() -> None:
    """The first failure is raised, with that of the listing as its cause."""

    async def handler(request: RawRequest) -> Any:
        return http_response(500 if request.method == "POST" else 403)

    async with RawServer(handler) as server, client_of(server.url, retry=SOON) as client:
        with pytest.raises(errors.InternalServerError) as caught:
            await client.webhooks.create("https://x.invalid", EVENTS)
    assert isinstance(caught.value.__cause__, errors.PermissionDeniedError)
    assert len(server.seen("POST")) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.webhooks.create("http://hooks.invalid", EVENTS),
        lambda c: c.webhooks.create("ftp://hooks.invalid", EVENTS),
        lambda c: c.webhooks.create("hooks.invalid", EVENTS),
        lambda c: c.webhooks.create("", EVENTS),
        lambda c: c.webhooks.create(None, EVENTS),
        lambda c: c.webhooks.create("https://[::1", EVENTS),
        lambda c: c.webhooks.create("https://x.invalid", []),
        lambda c: c.webhooks.create("https://x.invalid", "task.completed"),
        lambda c: c.webhooks.create("https://x.invalid", [5]),
        lambda c: c.webhooks.create("https://x.invalid", EVENTS, description="x" * 501),
        lambda c: c.webhooks.create("https://x.invalid", EVENTS, secret="x" * 501),
        lambda c: c.webhooks.create("https://x.invalid", EVENTS, secret=""),
        lambda c: c.webhooks.get("."),
        lambda c: c.webhooks.delete(""),
    ],
)
async def test_what_cannot_be_right_never_leaves(call: Any) -> None:
    """Arguments that can't be right raise an error before any request."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({})

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.InvalidRequestError) as caught:
            await call(client)
        assert not server.requests
    assert "x" * 100 not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/hook", "http://localhost/hook", "https://x.invalid/hook"])
async def test_https_and_loopback_urls_are_accepted(url: str) -> None:
    """Plain http is accepted for this machine alone."""

    async def handler(request: RawRequest) -> bytes:
        return json_response({"id": "h1", "url": request.json["url"]})

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert (await client.webhooks.create(url, EVENTS)).url == url
