"""Networks of companies: proxies, certificates that they sign themselves, and the environment that says so."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import ssl
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from support.clients import KEY, client_of
from support.forward_proxy import ForwardProxy
from support.raw_server import RawRequest, RawServer, chunk, http_response, json_response, stream_head
from support.task_server import done, text

API = "https://api.invalid/v1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CALLS: dict[str, Callable[[AsyncRebyte], Awaitable[Any]]] = {
    "get": lambda client: client.tasks.get("t1"),
    "create": lambda client: client.tasks.create("Do it"),
    "events": lambda client: client.tasks.events("t1").until_done(),
    "download": lambda client: client.artifacts.read("w1", "a"),
    "upload": lambda client: client.files.upload(b"x", filename="a"),
}
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def api(request: RawRequest) -> bytes | AsyncIterator[bytes]:
    """Respond as the API and its storage do."""

    async def events() -> AsyncIterator[bytes]:
        yield stream_head() + chunk(text(1, "hello")) + chunk(done("succeeded", 1, "hello")) + chunk(b"")

    if request.path.endswith("/events"):
        return events()
    if request.path.startswith("/signed"):
        return http_response(200, b"the file")
    if request.path.endswith("/files"):
        return json_response({"id": "f1", "filename": "a", "uploadUrl": "https://storage.invalid/signed?key=1"})
    if "/artifacts/" in request.path:
        return http_response(302, Location="https://storage.invalid/signed/a?key=2")
    return json_response({"id": "t1", "workspaceId": "w1", "url": "u", "status": "running"})


@asynccontextmanager
async def company(
    tls: Any, reply: bytes | None = None, **options: Any
) -> AsyncGenerator[tuple[RawServer, ForwardProxy]]:
    """Open a server that only a proxy knows."""
    async with RawServer(api, tls.server) as server:
        hosts = {"api.invalid": server.port, "storage.invalid": server.port, "127.0.0.1": server.port}
        async with ForwardProxy(hosts, reply, **options) as proxy:
            yield server, proxy


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("call", CALLS)
async def test_everything_passes_the_proxy(call: str, tls: Any, *, secure: bool) -> None:
    """Calls, streams, uploads and downloads, with the storage that these lead to."""
    async with (
        company(tls, ssl=tls.server if secure else None) as (server, proxy),
        client_of(API, proxy=proxy.url, ssl=tls.ca) as client,
    ):
        await CALLS[call](client)
        assert client.stats().retries == 0
    storage = ["storage.invalid:443"] if call in {"download", "upload"} else []
    assert sorted({*proxy.connects}) == ["api.invalid:443", *storage]
    assert len(server.requests) == 1 + len(storage)


async def test_a_tunnel_is_used_again(tls: Any) -> None:
    """Ordinary calls share their connections through a proxy with a password, and with views, as they do without."""
    async with company(tls) as (server, proxy):
        url = f"http://user:pass@{proxy.address}"
        async with client_of(API, proxy=url, ssl=str(tls.ca)) as client:
            for _ in range(3):
                await client.tasks.get("t1")
                await client.with_options(timeouts=Timeouts(read=9)).tasks.get("t1")
    assert (len(proxy.connects), len(server.requests)) == (1, 6)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("user:p%40ss", "user:p@ss"), ("us%3Aer", "us:er:"), ("ü:ß", "ü:ß"), (":secret", ":secret")],
)
async def test_the_proxy_alone_gets_its_password(given: str, sent: str, tls: Any) -> None:
    """The user info of its URL goes to it as it is meant, and nowhere else."""
    async with company(tls) as (server, proxy):
        async with client_of(API, proxy=f"http://{given}@{proxy.address}", ssl=tls.ca) as client:
            await client.artifacts.read("w1", "a")
    expected = "Basic " + base64.b64encode(sent.encode()).decode()
    assert [request.headers["proxy-authorization"] for request in proxy.requests] == [expected] * 2
    assert not [request for request in proxy.requests if "api_key" in request.headers]
    assert not [request for request in server.requests if "proxy-authorization" in request.headers]


@pytest.mark.parametrize("proxy_url", ["http://user:s3cret@127.0.0.1:{port}", "http://user:s3cret@proxy.invalid:1"])
async def test_a_password_is_never_shown(proxy_url: str, caplog: pytest.LogCaptureFixture, unused_port: int) -> None:
    """Neither reprs, nor errors, nor their causes, nor the variables of their tracebacks, nor logs have it."""
    caplog.set_level(logging.DEBUG)
    async with client_of(API, proxy=proxy_url.format(port=unused_port)) as client:
        shown = repr(client) + repr(vars(client))
        with pytest.raises(errors.ConnectError) as caught:
            await client.tasks.get("t1")
    lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    shown += "".join(line for line in lines if "proxy_url" not in line) + caplog.text + str(pickle.dumps(caught.value))
    assert "s3cret" not in shown
    assert base64.b64encode(b"user:s3cret").decode() not in shown


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (http_response(403), "the proxy refused to connect with 403"),
        (http_response(407), "407, for want of a valid user and password"),
        (http_response(502), "the proxy refused to connect with 502"),
        (http_response(302, Location="http://login.invalid/"), "the proxy refused to connect with 302"),
        # aiohttp's parser in Python waits for the rest of the head
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the proxy's response wasn't HTTP|the proxy ended the connection"),
        (b"", "the proxy ended the connection"),
        (b"HTTP/1.1 200 ", "the proxy ended the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no connection"),
    ],
)
@pytest.mark.parametrize("owner", ["client", "application"])
async def test_a_proxy_that_refuses_leaves_no_doubt(reply: bytes, words: str, owner: str, tls: Any) -> None:
    """It is an error of connecting, also for a create, which is tried again as one that was never sent."""
    async with company(tls, reply) as (server, proxy), aiohttp.ClientSession(proxy=proxy.url) as session:
        options: dict[str, Any] = {"session": session} if owner == "application" else {"proxy": proxy.url}
        async with client_of(API, **options) as client:
            for call in CALLS.values():
                proxy.requests.clear()
                with pytest.raises((errors.ConnectError, errors.StreamInterruptedError), match=words):
                    await call(client)
                assert len(proxy.connects) == 4
    assert server.requests == []


async def test_a_proxy_that_is_absent_is_named(unused_port: int) -> None:
    """The error says that it is the proxy to which no connection could be made."""
    async with client_of(API, proxy=f"http://127.0.0.1:{unused_port}", retry=ONCE) as client:
        with pytest.raises(errors.ConnectError, match=f"no connection to the proxy 127.0.0.1:{unused_port}: "):
            await client.tasks.create("Do it")
    async with client_of(API, proxy="http://proxy.invalid:3128", retry=ONCE) as client:
        with pytest.raises(errors.ConnectError, match=r"no connection to proxy\.invalid:3128: ") as caught:
            await client.tasks.create("Do it")
    assert "its proxy" in caught.value.hint


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("reply", [None, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["silent", "silent after CONNECT"])
async def test_a_proxy_that_hangs_takes_no_longer_than_connecting_may(call: str, reply: bytes | None) -> None:
    """Whether it doesn't respond to CONNECT, or lets the server's TLS wait."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply or b"")
        try:
            await reader.read(-1)
        finally:
            writer.transport.abort()

    timeouts = Timeouts(connect=0.2, read=3600, create=3600, stream_idle=3600)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client_of(API, proxy=url, timeouts=timeouts, retry=ONCE) as client:
            with anyio.fail_after(20), pytest.raises((errors.ConnectError, errors.StreamInterruptedError)) as caught:
                await CALLS[call](client)
    assert "no connection in time" in str(caught.value)


async def test_this_machine_needs_no_proxy(tls: Any) -> None:
    """Loopback addresses are connected to directly, whatever the proxy."""
    async with company(tls) as (server, proxy):
        async with client_of(server.url, proxy=proxy.url, ssl=tls.ca) as client:
            await client.tasks.get("t1")
    assert (len(server.requests), proxy.requests) == (1, [])


async def test_plain_http_passes_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a service on this machine redirects to plain http elsewhere, the proxy is asked, with its password."""

    async def handler(request: RawRequest) -> bytes:
        if request.path == "/signed":
            return http_response(200, b"the file")
        return http_response(302, Location="http://storage.invalid/signed?key=2")

    async with RawServer(handler) as server, ForwardProxy({"storage.invalid": server.port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@{proxy.address}")
        async with client_of(server.url, trust_env=True) as client:
            assert await client.artifacts.read("w1", "a") == b"the file"
    (request,) = proxy.requests
    assert (request.method, request.target) == ("GET", "http://storage.invalid/signed?key=2")
    assert request.headers["proxy-authorization"].startswith("Basic ")


# Certificates.


async def test_an_unknown_authority_is_explained(tls: Any) -> None:
    """A certificate that a company's proxy has signed is refused, with what to do about it, until it is trusted."""
    async with company(tls) as (server, proxy):
        for address in (server.url, API):
            async with client_of(address, proxy=proxy.url, retry=ONCE) as client:
                with pytest.raises(errors.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                    await client.tasks.create("Do it")
            for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
                assert "ssl=FILE, or rebyte-async --ca FILE" in error.hint
        assert server.requests == []
        for trusted in (tls.client, tls.ca, str(tls.ca)):
            async with client_of(API, proxy=proxy.url, ssl=trusted) as client:
                await client.tasks.get("t1")


async def test_a_certificate_for_another_host_is_no_matter_of_trust(tls: Any) -> None:
    """The hint about authorities is given only where one is missing."""
    async with company(tls) as (server, proxy):
        proxy.hosts["other.invalid"] = server.port
        async with client_of("https://other.invalid/v1", proxy=proxy.url, ssl=tls.ca, retry=ONCE) as client:
            with pytest.raises(errors.ConnectError, match=r"(?i)hostname mismatch") as caught:
                await client.tasks.get("t1")
    assert "--ca" not in caught.value.hint


@pytest.mark.parametrize("name", ["ssl", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", "folder"])
def test_a_bundle_that_cannot_be_read_is_refused_at_once(
    name: str, content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client isn't made, and the error says which setting it is, and which file."""
    path = tmp_path / "ca.pem"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    options: dict[str, Any] = {"ssl": path} if name == "ssl" else {"trust_env": True}
    with pytest.raises(errors.ConfigurationError, match=rf"^{name}: the CA bundle .*ca\.pem' can't be read"):
        AsyncRebyte(KEY, **options)
    AsyncRebyte(KEY)


# Settings.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *[
            ({"proxy": url}, "proxy must be an http or https URL")
            for url in (
                "",
                "proxy:3128",
                "socks5://u:s3cret@proxy:1",
                "http://",
                "http://u:s3cret@[x",
                "http://h:s3cret",
                5,
            )
        ],
        ({"ssl": False}, "ssl must be an ssl.SSLContext or the path of a CA bundle, not False"),
        ({"ssl": ""}, "ssl must be an ssl.SSLContext or the path of a CA bundle, not ''"),
        ({"ssl": "a\0b"}, "ssl: the CA bundle"),
        ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "ssl must be a context for clients"),
        ({"trust_env": 1}, "trust_env must be True or False, not 1"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(options: dict[str, Any], words: str) -> None:
    """At once, and a proxy's URL isn't repeated."""
    with pytest.raises(errors.ConfigurationError, match=words) as caught:
        AsyncRebyte(KEY, **options)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


async def test_a_session_has_its_own_network() -> None:
    """With `session`, the settings of the network are refused by name."""
    async with aiohttp.ClientSession() as session:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"proxy": "http://proxy:1"}, "proxy"),
            ({"ssl": ssl.create_default_context(), "trust_env": True}, "ssl and trust_env"),
        ]
        for options, names in cases:
            with pytest.raises(errors.ConfigurationError, match=f"^{names} can't be given with session"):
                AsyncRebyte(KEY, session=session, **options)


# The environment.


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_the_environment_is_read_if_it_is_trusted(name: str, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its proxy, with or without a scheme, and its authorities, as they are when the client is made; never a netrc."""
    async with company(tls) as (server, proxy):
        monkeypatch.setenv(name, proxy.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
        client = client_of(API, trust_env=True)
        distrustful = client_of(API, ssl=tls.ca, retry=ONCE)
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        async with client, distrustful:
            await client.tasks.get("t1")
            with pytest.raises(errors.ConnectError, match=r"no connection: "):
                await distrustful.tasks.get("t1")
    assert (len(proxy.connects), len(server.requests)) == (1, 1)


async def test_a_netrc_is_never_read(tls: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not where the environment is trusted either: aiohttp would send its passwords."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with company(tls) as (server, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with client_of(API, trust_env=True, ssl=tls.ca) as client:
            await client.artifacts.read("w1", "a")
    assert not [seen for seen in server.requests if "authorization" in seen.headers]
    assert not [seen for seen in proxy.requests if "proxy-authorization" in seen.headers]


async def test_what_is_given_beats_the_environment(
    tls: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_port: int
) -> None:
    """A given proxy is used even for the hosts of NO_PROXY, and a given bundle instead of the environment's."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    async with company(tls) as (_, proxy):
        async with client_of(API, proxy=proxy.url, ssl=tls.ca, trust_env=True) as client:
            await client.tasks.get("t1")
    assert proxy.connects == ["api.invalid:443"]


@pytest.mark.parametrize(
    ("variables", "uses_proxy"),
    [
        ({}, True),
        ({"NO_PROXY": "*"}, False),
        ({"NO_PROXY": "api.invalid"}, False),
        ({"NO_PROXY": "API.INVALID"}, False),
        ({"NO_PROXY": "invalid"}, False),
        ({"NO_PROXY": ".invalid"}, False),
        ({"NO_PROXY": "other.example, .invalid"}, False),
        ({"NO_PROXY": "api.invalid:443"}, False),
        ({"NO_PROXY": "api.invalid:8443"}, True),
        ({"NO_PROXY": "pi.invalid"}, True),
        ({"NO_PROXY": "10.0.0.0/8"}, True),
        ({"NO_PROXY": "*", "no_proxy": "other.example"}, True),
        ({"NO_PROXY": "", "no_proxy": "api.invalid"}, False),
        ({"https_proxy": ""}, False),
    ],
)
async def test_hosts_of_no_proxy_are_connected_to_directly(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tls: Any, *, uses_proxy: bool
) -> None:
    """In all the forms that Python knows; the name in lower case comes first, and an empty proxy is none."""
    async with company(tls) as (_, proxy):
        for name, value in {"HTTPS_PROXY": proxy.url, **variables}.items():
            monkeypatch.setenv(name, value)
        async with client_of(API, trust_env=True, ssl=tls.ca, retry=ONCE) as client:
            if uses_proxy:
                await client.tasks.get("t1")
            else:
                with pytest.raises(errors.ConnectError, match="no connection: "):
                    await client.tasks.get("t1")
    assert bool(proxy.requests) == uses_proxy


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable is, and not its URL; nothing connects directly instead."""
    monkeypatch.setenv("ALL_PROXY", "socks5://user:s3cret@proxy.invalid:1080")
    AsyncRebyte(KEY)
    with pytest.raises(errors.ConfigurationError, match=r"^ALL_PROXY must be an http or https URL") as caught:
        AsyncRebyte(KEY, trust_env=True)
    assert "s3cret" not in str(caught.value)


def test_a_header_of_a_visitor_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a CGI script HTTP_PROXY is the header `Proxy` of a request, so that it isn't read, and so isn't refused."""
    monkeypatch.setenv("HTTP_PROXY", "nonsense://")
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    AsyncRebyte(KEY, trust_env=True)
