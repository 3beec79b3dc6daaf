"""Keys and scopes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from yarl import URL

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator


@pytest.mark.parametrize("name", ["API_KEY", "api_key", "api-key", "Api-Key", "x-api-key", "X-API-KEY"])
async def test_a_key_is_taken_under_every_name(emulator: Emulator, http: RawClient, name: str) -> None:
    """Each of the three header names works, in any case."""
    reply = await http.call("GET", "/tasks", headers={name: emulator.api_key})

    assert reply.status == 200


async def test_a_request_without_a_key_is_refused(http: RawClient) -> None:
    """No key is 401 missing_api_key."""
    reply = await http.call("GET", "/tasks", headers={})

    assert (reply.status, reply.code) == (401, "missing_api_key")


async def test_a_bearer_token_is_no_key(emulator: Emulator, http: RawClient) -> None:
    """The Authorization header doesn't count."""
    reply = await http.call("GET", "/tasks", headers={"Authorization": f"Bearer {emulator.api_key}"})

    assert reply.code == "missing_api_key"


async def test_a_wrong_key_is_refused(http: RawClient) -> None:
    """An unknown key is 401 invalid_api_key."""
    reply = await http.call("GET", "/tasks", headers={"API_KEY": "rbk_wrong"})

    assert (reply.status, reply.code) == (401, "invalid_api_key")


async def test_a_key_does_only_what_its_scopes_allow(emulator: Emulator, http: RawClient) -> None:
    """A lacking scope is 403 insufficient_scopes."""
    headers = {"API_KEY": emulator.add_key(scopes={"tasks:read"})}

    read = await http.call("GET", "/tasks", headers=headers)
    write = await http.call("POST", "/tasks", headers=headers, json={"prompt": "x"})

    assert read.status == 200
    assert (write.status, write.code) == (403, "insufficient_scopes")


async def test_a_disabled_executor_is_refused(emulator: Emulator, http: RawClient) -> None:
    """Such a task is 403 agent_disabled, another executor's is made."""
    emulator.disable_executor("codex")

    refused = await http.call("POST", "/tasks", json={"prompt": "x", "executor": "codex"})
    made = await http.call("POST", "/tasks", json={"prompt": "x", "executor": "gemini"})

    assert (refused.status, refused.code) == (403, "agent_disabled")
    assert made.status == 201


async def test_health_needs_no_key(emulator: Emulator, http: RawClient) -> None:
    """Health is at the root of the host."""
    reply = await http.call("GET", emulator.url.removesuffix("/v1") + "/health", headers={})

    assert (reply.status, reply.json()["status"]) == (200, "ok")


async def test_an_unknown_endpoint_is_not_found(http: RawClient) -> None:
    """Whatever isn't in the API answers with its envelope."""
    reply = await http.call("GET", "/nothing")

    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("key", [b"", b"API_KEY: %s\r\n"])
async def test_a_malformed_body_is_the_client_s_fault(emulator: Emulator, key: bytes) -> None:
    """It is refused, whether or not it comes with a key."""
    url = URL(emulator.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    headers = b"Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    authorization = key.replace(b"%s", emulator.api_key.encode())
    writer.write(b"POST /v1/tasks HTTP/1.1\r\n" + headers + authorization + b"\r\nzz\r\n")

    status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status.split()[1] in {b"400", b"401"}


async def test_a_failure_of_the_emulator_is_a_500_and_fails_the_check(emulator: Emulator, http: RawClient) -> None:
    """An unexpected exception is answered as internal_error, and raised by `check` once."""
    emulator.stream = None  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]

    reply = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (reply.status, reply.code) == (500, "internal_error")
    with pytest.raises(ExceptionGroup, match="the emulator failed"):
        emulator.check()
    emulator.check()
