"""Webhooks: registered, listed and deleted, and the key of their signatures."""

from __future__ import annotations

import base64
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async.emulator import WebhookFormat

if TYPE_CHECKING:
    from emulator.raw_client import RawClient, Response
    from rebyte_async.emulator import Emulator

HOOK = {"url": "https://example.com/hook", "events": ["task.completed"]}


async def _register(http: RawClient, **fields: Any) -> Response:
    return await http.call("POST", "/webhooks", json={**HOOK, **fields})


async def test_a_webhook_is_registered(http: RawClient) -> None:
    """The response and every read have all fields but the secret."""
    response = await _register(http, secret="s3cret", description="mine", events=["task.failed", "task.failed"])
    webhook = response.json()
    listed, read = await http.call("GET", "/webhooks"), await http.call("GET", f"/webhooks/{webhook['id']}")

    assert response.status == 201
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
    """Fields that were left out are null."""
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
async def test_invalid_webhooks_are_refused(http: RawClient, fields: dict[str, Any]) -> None:
    """A webhook needs an https or loopback URL, known events, and texts of at most 500 characters."""
    response = await _register(http, **fields)

    assert (response.status, response.code) == (400, "validation_error")
    assert (await http.call("GET", "/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize("field", ["url", "events"])
async def test_a_webhook_has_a_url_and_events(http: RawClient, field: str) -> None:
    """A webhook needs a URL and events."""
    fields = {name: value for name, value in HOOK.items() if name != field}

    assert (await http.call("POST", "/webhooks", json=fields)).code == "validation_error"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://127.3.2.1/", "http://localhost:9/", "http://[::1]:9/"])
async def test_a_webhook_may_be_on_this_machine(http: RawClient, url: str) -> None:
    """A loopback URL needs no TLS, and texts may have 500 characters."""
    response = await _register(http, url=url, secret="x" * 500, description="y" * 500)

    assert (response.status, response.json()["url"]) == (201, url)


async def test_there_are_at_most_three_webhooks(http: RawClient) -> None:
    """The fourth gets a 400 until one is deleted; a known URL doesn't count as a fourth."""
    responses = [await _register(http, url=f"https://example.com/{number}") for number in range(4)]
    known = await _register(http, url="https://example.com/1")
    deleted = await http.call("DELETE", f"/webhooks/{responses[0].json()['id']}")
    again = await _register(http, url="https://example.com/3")

    assert [response.status for response in responses] == [201, 201, 201, 400]
    assert responses[3].code == "limit_exceeded"
    assert (known.status, deleted.status, again.status) == (200, 204, 201)


async def test_a_known_url_returns_the_existing_webhook(http: RawClient) -> None:
    """The webhook stays as it was."""
    first = await _register(http)
    second = await _register(http, events=["task.failed"], description="other")

    assert (second.status, second.json()) == (200, first.json())


@pytest.mark.parametrize(("again", "status", "count"), [("new", 201, 2), ("conflict", 409, 1)])
async def test_a_known_url_can_have_another_meaning(
    emulator: Emulator, http: RawClient, again: Any, status: int, count: int
) -> None:
    """A second registration of a URL can create another webhook, or be an error."""
    emulator.webhook_format = WebhookFormat(again=again)
    await _register(http)

    assert (await _register(http)).status == status
    assert len((await http.call("GET", "/webhooks")).json()["webhooks"]) == count


async def test_a_deleted_webhook_is_not_found(http: RawClient) -> None:
    """A webhook that was deleted or never existed can't be read or deleted."""
    webhook_id = (await _register(http)).json()["id"]
    await http.call("DELETE", f"/webhooks/{webhook_id}")

    assert (await http.call("GET", f"/webhooks/{webhook_id}")).code == "not_found"
    assert (await http.call("DELETE", f"/webhooks/{webhook_id}")).code == "not_found"
    assert (await http.call("GET", "/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize("items", ["webhooks", "data", None])
async def test_the_list_can_be_in_any_field(emulator: Emulator, http: RawClient, items: Any) -> None:
    """The list of webhooks can be in any field, or a bare array."""
    emulator.webhook_format = WebhookFormat(items=items)
    webhook = (await _register(http)).json()

    listed = (await http.call("GET", "/webhooks")).json()

    assert (listed if items is None else listed[items]) == [webhook]


async def test_keys_need_scopes(emulator: Emulator, http: RawClient) -> None:
    """Reading and writing have separate scopes."""
    reader = {"API_KEY": emulator.add_key(scopes={"webhooks:read"})}

    assert (await http.call("GET", "/webhooks", headers=reader)).status == 200
    assert (await http.call("POST", "/webhooks", headers=reader, json=HOOK)).code == "insufficient_scopes"


@pytest.mark.parametrize("field", ["publicKey", "public_key", "key", None])
@pytest.mark.parametrize("in_base64", [False, True])
async def test_the_public_key_can_have_several_forms(
    signing_emulator: Emulator, signing_http: RawClient, field: Any, in_base64: bool
) -> None:
    """The public key can be in any field or plain text, a PEM or base64; it is always the same key."""
    signing_emulator.webhook_format = WebhookFormat(public_key=field, public_key_base64=in_base64)

    response = await signing_http.call("GET", "/webhooks/public_key")

    key = response.body.decode() if field is None else response.json()[field]
    pem = base64.b64decode(key).decode() if in_base64 else key
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert response.status == 200
    signing_emulator.clear()
    assert (await signing_http.call("GET", "/webhooks/public_key")).json() == {"publicKey": pem}


async def test_an_emulator_generates_a_key(emulator: Emulator, http: RawClient) -> None:
    """Where no key was given, one is generated on first use, and outlives `clear`."""
    first = await http.call("GET", "/webhooks/public_key")
    emulator.clear()
    second = await http.call("GET", "/webhooks/public_key")

    assert first.json() == second.json()
    assert first.json()["publicKey"].startswith("-----BEGIN PUBLIC KEY-----\n")


async def test_without_cryptography_there_is_no_key(http: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response says what to install."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)

    response = await http.call("GET", "/webhooks/public_key")

    assert (response.status, response.code) == (501, "not_implemented")
    assert "rebyte-async[webhooks]" in response.json()["error"]["message"]
