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
async def test_a_key_may_have_any_of_the_header_names(emulator: Emulator, http: RawClient, name: str) -> None:
    """Each of the three header names works, in any case."""
    response = await http.call("GET", "/tasks", headers={name: emulator.api_key})

    assert response.status == 200


async def test_a_request_without_a_key_is_refused(http: RawClient) -> None:
    """A request without a key gets a 401 with the code `missing_api_key`."""
    response = await http.call("GET", "/tasks", headers={})

    assert (response.status, response.code) == (401, "missing_api_key")


async def test_a_bearer_token_is_no_key(emulator: Emulator, http: RawClient) -> None:
    """The Authorization header is ignored."""
    response = await http.call("GET", "/tasks", headers={"Authorization": f"Bearer {emulator.api_key}"})

    assert response.code == "missing_api_key"


async def test_an_unknown_key_is_refused(http: RawClient) -> None:
    """A request with an unknown key gets a 401 with the code `invalid_api_key`."""
    response = await http.call("GET", "/tasks", headers={"API_KEY": "rbk_wrong"})

    assert (response.status, response.code) == (401, "invalid_api_key")


async def test_a_key_does_only_what_its_scopes_allow(emulator: Emulator, http: RawClient) -> None:
    """A missing scope is a 403 with the code `insufficient_scopes`."""
    headers = {"API_KEY": emulator.add_key(scopes={"tasks:read"})}

    read = await http.call("GET", "/tasks", headers=headers)
    write = await http.call("POST", "/tasks", headers=headers, json={"prompt": "x"})

    assert read.status == 200
    assert (write.status, write.code) == (403, "insufficient_scopes")


async def test_a_disabled_executor_is_refused(emulator: Emulator, http: RawClient) -> None:
    """A task for it gets a 403 with the code `agent_disabled`; a task for another executor is created."""
    emulator.disable_executor("codex")

    refused = await http.call("POST", "/tasks", json={"prompt": "x", "executor": "codex"})
    created = await http.call("POST", "/tasks", json={"prompt": "x", "executor": "gemini"})

    assert (refused.status, refused.code) == (403, "agent_disabled")
    assert created.status == 201


async def test_health_needs_no_key(emulator: Emulator, http: RawClient) -> None:
    """The health endpoint is at the root of the host."""
    response = await http.call("GET", emulator.url.removesuffix("/v1") + "/health", headers={})

    assert (response.status, response.json()["status"]) == (200, "ok")


async def test_an_unknown_endpoint_is_not_found(http: RawClient) -> None:
    """The response is in the API's error envelope."""
    response = await http.call("GET", "/nothing")

    assert (response.status, response.code) == (404, "not_found")


@pytest.mark.parametrize("key", [b"", b"API_KEY: %s\r\n"])
async def test_a_malformed_body_gets_a_client_error(emulator: Emulator, key: bytes) -> None:
    """A malformed body is refused, with or without a key."""
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
    """An unexpected exception becomes an `internal_error`, and `check` raises it once."""
    emulator.stream = None  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]

    response = await http.call("POST", "/tasks", json={"prompt": "x"})

    assert (response.status, response.code) == (500, "internal_error")
    with pytest.raises(ExceptionGroup, match="the emulator failed"):
        emulator.check()
    emulator.check()
