"""Webhooks: registered, listed, deleted, and what they are signed with."""

from __future__ import annotations

import base64
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async.emulator import WebhookFormat

if TYPE_CHECKING:
    from emulator.raw_client import RawClient, Reply
    from rebyte_async.emulator import Emulator

HOOK = {"url": "https://example.com/hook", "events": ["task.completed"]}


async def _register(http: RawClient, **fields: Any) -> Reply:
    return await http.call("POST", "/webhooks", json={**HOOK, **fields})


async def test_a_webhook_is_registered(http: RawClient) -> None:
    """The answer has everything but the secret, and so has every read."""
    reply = await _register(http, secret="s3cret", description="mine", events=["task.failed", "task.failed"])
    webhook = reply.json()
    listed, read = await http.call("GET", "/webhooks"), await http.call("GET", f"/webhooks/{webhook['id']}")

    assert reply.status == 201
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", webhook["createdAt"])
    assert webhook == {
        "id": webhook["id"],
        "url": "https://example.com/hook",
        "events": ["task.failed"],
        "description": "mine",
        "hasSecret": True,
        "isActive": True,
        "createdAt": webhook["createdAt"],
        "lastTriggeredAt": None,
        "failureCount": 0,
    }
    assert (listed.json(), read.json()) == ({"webhooks": [webhook]}, webhook)


async def test_a_webhook_needs_no_more_than_a_url_and_events(http: RawClient) -> None:
    """What was left out is null."""
    webhook = (await _register(http)).json()

    assert (webhook["description"], webhook["hasSecret"]) == (None, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": 1},
        {"url": "example.com/hook"},
        {"url": "ftp://example.com/hook"},
        {"url": "http://example.com/hook"},
        {"url": "http://localhost.example.com/hook"},
        {"url": "http://192.168.0.1/hook"},
        {"url": "http://0.0.0.0/hook"},
        {"url": "https:///hook"},
        {"url": "https://[::1/hook"},
        {"events": []},
        {"events": "task.completed"},
        {"events": ["task.completed", "task.exploded"]},
        {"events": [1]},
        {"description": "x" * 501},
        {"secret": "x" * 501},
        {"secret": 1},
    ],
)
async def test_a_webhook_that_is_not_as_it_must_be_is_refused(http: RawClient, fields: dict[str, Any]) -> None:
    """An https URL or one of this machine, events out of the five, texts of 500 characters at most."""
    reply = await _register(http, **fields)

    assert (reply.status, reply.code) == (400, "validation_error")
    assert (await http.call("GET", "/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize("field", ["url", "events"])
async def test_a_webhook_has_a_url_and_events(http: RawClient, field: str) -> None:
    """Both are required."""
    fields = {name: value for name, value in HOOK.items() if name != field}

    assert (await http.call("POST", "/webhooks", json=fields)).code == "validation_error"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://127.3.2.1/", "http://localhost:9/", "http://[::1]:9/"])
async def test_a_webhook_may_be_on_this_machine(http: RawClient, url: str) -> None:
    """Without TLS, which the service itself would refuse; texts of 500 characters are fine."""
    reply = await _register(http, url=url, secret="x" * 500, description="y" * 500)

    assert (reply.status, reply.json()["url"]) == (201, url)


async def test_there_are_at_most_three_webhooks(http: RawClient) -> None:
    """The fourth is 400, until one is deleted; a URL that is known is no fourth."""
    replies = [await _register(http, url=f"https://example.com/{number}") for number in range(4)]
    known = await _register(http, url="https://example.com/1")
    deleted = await http.call("DELETE", f"/webhooks/{replies[0].json()['id']}")
    again = await _register(http, url="https://example.com/3")

    assert [reply.status for reply in replies] == [201, 201, 201, 400]
    assert replies[3].code == "limit_exceeded"
    assert (known.status, deleted.status, again.status) == (200, 204, 201)


async def test_a_url_that_is_known_is_the_webhook_that_exists(http: RawClient) -> None:
    """It stays as it was."""
    first = await _register(http)
    second = await _register(http, events=["task.failed"], description="other")

    assert (second.status, second.json()) == (200, first.json())


@pytest.mark.parametrize(("again", "status", "count"), [("new", 201, 2), ("conflict", 409, 1)])
async def test_a_url_that_is_known_can_be_read_otherwise(
    emulator: Emulator, http: RawClient, again: Any, status: int, count: int
) -> None:
    """Another webhook, or an error."""
    emulator.webhook_format = WebhookFormat(again=again)
    await _register(http)

    assert (await _register(http)).status == status
    assert len((await http.call("GET", "/webhooks")).json()["webhooks"]) == count


async def test_a_webhook_that_was_deleted_is_not_found(http: RawClient) -> None:
    """By neither call, as one that never was."""
    webhook_id = (await _register(http)).json()["id"]
    await http.call("DELETE", f"/webhooks/{webhook_id}")

    assert (await http.call("GET", f"/webhooks/{webhook_id}")).code == "not_found"
    assert (await http.call("DELETE", f"/webhooks/{webhook_id}")).code == "not_found"
    assert (await http.call("GET", "/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize("items", ["webhooks", "data", None])
async def test_the_list_can_be_under_any_name(emulator: Emulator, http: RawClient, items: Any) -> None:
    """Or bare."""
    emulator.webhook_format = WebhookFormat(items=items)
    webhook = (await _register(http)).json()

    listed = (await http.call("GET", "/webhooks")).json()

    assert (listed if items is None else listed[items]) == [webhook]


async def test_keys_need_scopes(emulator: Emulator, http: RawClient) -> None:
    """One for reading, one for writing."""
    reader = {"API_KEY": emulator.add_key(scopes={"webhooks:read"})}

    assert (await http.call("GET", "/webhooks", headers=reader)).status == 200
    assert (await http.call("POST", "/webhooks", headers=reader, json=HOOK)).code == "insufficient_scopes"


@pytest.mark.parametrize("field", ["publicKey", "public_key", "key", None])
@pytest.mark.parametrize("in_base64", [False, True])
async def test_the_public_key_can_be_written_in_many_ways(
    signing_emulator: Emulator, signing_http: RawClient, field: Any, in_base64: bool
) -> None:
    """Under any name or as plain text, as a PEM or as the base64 of one; it is always the same key."""
    signing_emulator.webhook_format = WebhookFormat(public_key=field, public_key_base64=in_base64)

    reply = await signing_http.call("GET", "/webhooks/public_key")

    key = reply.body.decode() if field is None else reply.json()[field]
    pem = base64.b64decode(key).decode() if in_base64 else key
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert reply.status == 200
    signing_emulator.clear()
    assert (await signing_http.call("GET", "/webhooks/public_key")).json() == {"publicKey": pem}


async def test_an_emulator_makes_up_a_key(emulator: Emulator, http: RawClient) -> None:
    """When it is needed, if none was given; it outlives `clear`."""
    first = await http.call("GET", "/webhooks/public_key")
    emulator.clear()
    second = await http.call("GET", "/webhooks/public_key")

    assert first.json() == second.json()
    assert first.json()["publicKey"].startswith("-----BEGIN PUBLIC KEY-----\n")


async def test_without_cryptography_there_is_no_key(http: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answer says what to install."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)

    reply = await http.call("GET", "/webhooks/public_key")

    assert (reply.status, reply.code) == (501, "not_implemented")
    assert "rebyte-async[webhooks]" in reply.json()["error"]["message"]
