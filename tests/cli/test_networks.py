"""The command in networks of companies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import frozen
from cli.process import environment, run_command

from support.forward_proxy import ForwardProxy
from support.raw_server import RawRequest, RawServer, json_response


@frozen
class Company:
    """A proxy behind which the API is, and the environment of a command that has neither proxy nor authorities."""

    proxy: ForwardProxy
    ca: str
    env: dict[str, str]


@pytest.fixture
async def company(tls: Any) -> AsyncIterator[Company]:
    """Open a server that only a proxy knows."""

    async def handler(request: RawRequest) -> bytes:
        return json_response(
            {"status": "ok"} if request.path == "/health" else {"data": [], "total": 0, "limit": 50, "offset": 0}
        )

    async with RawServer(handler, tls.server) as server, ForwardProxy({"api.invalid": server.port}) as proxy:
        nothing = dict.fromkeys(("HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"), "")
        env = environment(REBYTE_BASE_URL="https://api.invalid/v1", REBYTE_API_KEY="rbk_0123456789abcdef") | nothing
        for name in ("https_proxy", "no_proxy"):  # these would come first
            env.pop(name, None)
        yield Company(proxy, str(tls.ca), env)


@pytest.mark.parametrize("way", ["options", "environment"])
async def test_a_command_passes_the_proxy(way: str, company: Company) -> None:
    """Its options say how, else the environment, and `doctor` shows what is in force, without the password."""
    url = f"http://user:s3cret@{company.proxy.address}"
    options = ("--proxy", url, "--ca", company.ca) if way == "options" else ()
    env = company.env if way == "options" else {**company.env, "HTTPS_PROXY": url, "SSL_CERT_FILE": company.ca}
    listed = await run_command(*options, "tasks", "list", "--json", env=env)
    assert (listed.code, listed.err) == (0, "")
    checked = await run_command(*options, "doctor", "--json", env=env)
    assert checked.code == 0, checked.out + checked.err
    checks = {line["name"]: line["found"] for line in map(json.loads, checked.lines)}
    proxy, ca = ("--proxy", "--ca") if way == "options" else ("HTTPS_PROXY", "SSL_CERT_FILE")
    assert checks["network"] == f"proxy {company.proxy.url} from {proxy}; authorities of {company.ca} from {ca}"
    assert "s3cret" not in checked.out + checked.err
    assert {*company.proxy.connects} == {"api.invalid:443"}


async def test_doctor_shows_that_there_is_no_proxy(company: Company) -> None:
    """Also where the environment has one, but not for this address."""
    env = {**company.env, "HTTPS_PROXY": company.proxy.url, "NO_PROXY": "api.invalid"}
    checked = await run_command("doctor", env=env)
    assert checked.code == 7
    assert "ok\tnetwork\tno proxy for this address; the system's authorities" in checked.lines
    assert company.proxy.requests == []


async def test_an_unknown_authority_is_explained(company: Company) -> None:
    """The error names the option that trusts it."""
    listed = await run_command("--proxy", company.proxy.url, "tasks", "list", env=company.env)
    assert listed.code == 7
    assert "CERTIFICATE_VERIFY_FAILED" in listed.err
    assert "rebyte-async --ca FILE" in listed.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--proxy", "user:s3cret@nonsense"), "proxy must be an http or https URL"),
        (("--ca", "/nowhere/ca.pem"), "'/nowhere/ca.pem' can't be read"),
    ],
)
async def test_unusable_options_are_refused(options: tuple[str, ...], words: str, company: Company) -> None:
    """As settings, by every command, and by `doctor` with what counts instead."""
    listed = await run_command(*options, "tasks", "list", env=company.env)
    checked = await run_command(*options, "doctor", env=company.env)
    assert (listed.code, checked.code) == (2, 2)
    assert words in listed.err
    assert [line for line in checked.lines if line.startswith("failed\tnetwork\t") and words in line]
    assert "s3cret" not in listed.err + checked.out + checked.err
    assert company.proxy.requests == []
