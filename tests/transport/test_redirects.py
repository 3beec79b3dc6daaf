"""The targets of requests, and the headers that go with them."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define
from rich import pretty
from yarl import URL

from rebyte_async import AsyncRebyte, errors
from rebyte_async._transport.request import Request
from support.clients import KEY, client_of
from support.raw_server import RawRequest, RawServer, http_response, json_response

SECRET_QUERY = "X-Signature=s3cr3t-signature"
TASK = {"id": "t1", "status": "running"}
ALL = [301, 302, 303, 307, 308]
REPEATING = [307, 308]


def redirect(status: int, to: str) -> bytes:
    """Return a redirect."""
    return http_response(status, Location=to)


async def other_origin(_: RawRequest) -> bytes:
    """Respond as a second server."""
    return json_response(TASK)


@pytest.mark.parametrize("status", ALL)
async def test_a_get_goes_to_another_origin_without_key_and_headers(status: int) -> None:
    """A read follows a redirect off the origin, but neither the key nor the client's headers do."""
    async with RawServer(other_origin) as other:

        async def handler(_: RawRequest) -> bytes:
            return redirect(status, f"{other.origin}/elsewhere?{SECRET_QUERY}")

        async with RawServer(handler) as server, client_of(server.url, headers={"X-Private": "mine"}) as client:
            assert (await client.tasks.get("t1")).id == "t1"
    (request,) = other.requests
    assert request.target == f"/elsewhere?{SECRET_QUERY}"
    assert KEY not in str(request.headers)
    assert "x-private" not in request.headers
    assert "cookie" not in request.headers
    assert "authorization" not in request.headers


async def test_a_call_asks_for_json_that_may_be_compressed() -> None:
    """It says so, and which client asks."""
    async with RawServer(other_origin) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
    headers = server.requests[0].headers
    assert headers["user-agent"].startswith("rebyte-async/")
    assert headers["accept"] == "application/json"
    assert "gzip" in headers["accept-encoding"]


@pytest.mark.parametrize("status", ALL)
async def test_a_redirect_within_the_origin_keeps_the_key(status: int) -> None:
    """At the same origin the request stays what it was."""

    async def handler(request: RawRequest) -> bytes:
        return redirect(status, "/v1/moved") if request.path != "/v1/moved" else json_response(TASK)

    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
    assert [request.headers["api_key"] for request in server.requests] == [KEY, KEY]


async def test_the_key_does_not_come_back_by_way_of_another_origin() -> None:
    """An origin that sends the client back has chosen where to: the key isn't sent again."""
    async with RawServer(other_origin) as server:

        async def bounce(_: RawRequest) -> bytes:
            return redirect(302, f"{server.origin}/v1/chosen")

        async with RawServer(bounce) as other:

            async def handler(request: RawRequest) -> bytes:
                return json_response(TASK) if request.path == "/v1/chosen" else redirect(302, other.origin)

            server.handler = handler
            async with client_of(server.url) as client:
                await client.tasks.get("t1")
    assert [KEY in request.headers.values() for request in server.requests] == [True, False]


@pytest.mark.parametrize("status", ALL)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_nothing_but_a_get_leaves_the_origin(method: str, status: int) -> None:
    """A request that changes something is never sent to another origin, with or without a body."""
    async with RawServer(other_origin) as other:

        async def handler(_: RawRequest) -> bytes:
            return redirect(status, other.url)

        async with RawServer(handler) as server, client_of(server.url) as client:
            with pytest.raises(errors.APIError) as caught:
                await changing(client, method)
            assert len(server.requests) == 1
    assert not other.requests
    assert caught.value.status == status


async def changing(client: AsyncRebyte, method: str) -> None:
    """Make a call with a method."""
    if method == "POST":
        await client.tasks.create("Do it")
    elif method == "PATCH":
        await client.tasks.set_visibility("t1", "private")
    else:
        await client.tasks.delete("t1")


@pytest.mark.parametrize("status", ALL)
async def test_a_post_is_only_repeated_where_the_server_asks_for_that(status: int) -> None:
    """307 and 308 at the same origin repeat the request; other redirects of a POST are refused."""

    async def handler(request: RawRequest) -> bytes:
        return redirect(status, "/v1/moved") if request.path != "/v1/moved" else json_response(TASK)

    async with RawServer(handler) as server, client_of(server.url) as client:
        if status in REPEATING:
            await client.tasks.create("Do it")
            assert [request.json for request in server.requests] == [{"prompt": "Do it"}] * 2
        else:
            with pytest.raises(errors.APIError, match="not turned into a GET"):
                await client.tasks.create("Do it")
            assert len(server.requests) == 1


async def test_a_redirect_loop_ends() -> None:
    """More than ten redirects in a row are an error, not a hang."""

    async def handler(_: RawRequest) -> bytes:
        return redirect(302, "/v1/again")

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.APIError, match="redirects"):
            await client.tasks.get("t1")
        assert len(server.requests) == 11


@pytest.mark.parametrize("location", ["ftp://x.invalid/", "mailto:a@b", "http://[::1", "javascript:1"])
async def test_a_redirect_to_nowhere_is_an_error(location: str) -> None:
    """An unusable Location is reported as such."""

    async def handler(_: RawRequest) -> bytes:
        return redirect(302, location)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.APIError, match="Location"):
            await client.tasks.get("t1")


async def test_https_never_leads_to_http(tls: Any) -> None:
    """A redirect from https to plain http is refused, also for a GET and on the same host."""
    async with RawServer(other_origin) as plain:

        async def handler(_: RawRequest) -> bytes:
            return redirect(302, f"{plain.origin}/v1/x")

        async with RawServer(handler, ssl=tls.server) as server, tls.session() as session:
            async with client_of(server.url, session=session) as client:
                with pytest.raises(errors.APIError, match="plain http"):
                    await client.tasks.get("t1")
    assert len(server.requests) == 1
    assert not plain.requests


@pytest.mark.parametrize(
    "url",
    [
        "http://api.invalid/v1",
        "http://192.168.1.5/v1",
        "http://localhost.invalid/v1",
        "http://127.0.0.1.invalid/v1",
        "ftp://127.0.0.1/v1",
        "api.invalid/v1",
        "   ",
        "https://user:pw@api.invalid/v1",
        "https://api.invalid/v1?x=1",
        "https://api.invalid/v1#x",
        "https://[::1",
        "http:///v1",
        "https://api.invalid",
        "https://api.invalid/v1/tasks",
    ],
)
def test_an_invalid_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http to another machine, and anything but a plain absolute URL, is refused when the client is made."""
    monkeypatch.setenv("REBYTE_BASE_URL", url)
    with pytest.raises(errors.ConfigurationError, match="base_url"):
        AsyncRebyte(KEY)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.9.9.9:1/v1", "http://[::1]:1/v1/", "https://api.invalid/x/v12"]
)
def test_plain_http_is_for_this_machine(url: str) -> None:
    """Loopback hosts need no TLS, since the key doesn't leave the machine."""
    assert repr(AsyncRebyte(KEY, base_url=url)).startswith("<AsyncRebyte of http")


async def test_environment_proxies_and_netrc_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, unused_port: int
) -> None:
    """A proxy or a netrc that happens to be set up on the machine never sees a request, nor adds to one."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")
    async with RawServer(other_origin) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
    assert "authorization" not in server.requests[0].headers


async def test_cookies_are_not_kept() -> None:
    """A cookie of one response isn't sent with the next request."""

    async def handler(_: RawRequest) -> bytes:
        return json_response(TASK, Set_Cookie="session=abc; Path=/")

    async with RawServer(handler) as server, client_of(server.url) as client:
        await client.tasks.get("t1")
        await client.tasks.get("t1")
    assert "cookie" not in server.requests[1].headers


async def test_neither_key_nor_signature_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    """No repr, log record, message or cause shows the key or the query of a signed URL."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def echo(request: RawRequest) -> bytes:
        return json_response({"error": {"code": "odd", "message": f"{request.headers} {request.target}"}}, 400)

    async def cut(_: RawRequest) -> Any:
        async def pieces() -> Any:
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"

        return pieces()

    async def nonsense(_: RawRequest) -> bytes:
        return b"HTTP/9.9 what\r\n\r\n"

    for target in (echo, cut, nonsense):
        async with RawServer(target) as signed:

            async def handler(request: RawRequest, to: RawServer = signed) -> bytes:
                return (
                    await echo(request) if "mine" in request.target else redirect(302, f"{to.origin}/f?{SECRET_QUERY}")
                )

            async with RawServer(handler) as server, client_of(server.url) as client:
                for task_id in ("t1", "mine"):
                    with pytest.raises(errors.RebyteError) as caught:
                        await client.tasks.get(task_id)
                    error: BaseException | None = caught.value
                    while error is not None:
                        shown += [str(error), repr(error), str(getattr(error, "body", ""))]
                        error = error.__cause__ or error.__context__
                shown += [repr(client), repr(client.tasks), str(client.stats())]
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 20
    assert not [text for text in shown if KEY in text]
    assert not [text for text in shown if "s3cr3t" in text]


async def test_what_a_server_says_is_printable_in_errors() -> None:
    """A terminal would obey control characters, in a message, a code, a body and the id of a request."""
    odd = "a\x1b]52;c;ZXZpbA==\x07b\x9b31mc\u202ed\x00\x7f"

    async def handler(_: RawRequest) -> bytes:
        return json_response({"error": {"code": odd, "message": odd}}, 400, X_Request_Id="r\x9b1")

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.APIError) as caught:
            await client.tasks.get("t1")
    error = caught.value
    for text in (str(error), error.code, error.body, error.message, error.request_id):
        assert text
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "target",
    [
        "/f/a%27b.txt?sig=x%27y",
        "/f/r.txt?p=a%2fb&sig=1%2b2%3d",
        "/f/%28x%29.txt?Signature=~a-b_c__",
        "/f/%40scope%3Apkg?e=%40%3A%21",
        "/f/r.txt?x=a%7Eb&y=%2Cz&&c",
        "/f/a//b/./c/../d?sig=1",
        "/f/r%2Ftxt?k=a+b%2Bc&name=%FF%FE",
    ],
)
@pytest.mark.parametrize("form", ["{origin}{target}", "{target}", "//{host}{target}", "{origin}{target}#fragment"])
async def test_a_redirect_is_followed_letter_by_letter(target: str, form: str) -> None:
    """Who signed the URL signed these letters; a server that reads others refuses it."""

    async def handler(request: RawRequest) -> bytes:
        if request.target.startswith("/f/"):
            return http_response(200, b"ok")
        host = request.headers["host"]
        return redirect(302, form.format(origin=f"http://{host}", host=host, target=target))

    async with RawServer(handler) as server, client_of(server.url) as client:
        assert await client.artifacts.read("w", "a") == b"ok"
    assert server.requests[-1].target == target


@define
class OnePlace(AbstractResolver):
    """A resolver to which every name, with any port, is one server."""

    port: int

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        """Return the server."""
        del port
        return [
            {"hostname": host, "host": "127.0.0.1", "port": self.port, "family": family, "proto": 0, "flags": 0},
        ]

    async def close(self) -> None:
        """Close nothing."""


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("Storage.INVALID", "storage.invalid"),
        ("storage.invalid:443", "storage.invalid"),
        ("storage.invalid:80", "storage.invalid:80"),
        ("storage.invalid.", "storage.invalid."),
        ("storage.invalid.:8443", "storage.invalid.:8443"),
        ("b\u00fccher.invalid", "xn--bcher-kva.invalid"),
    ],
)
async def test_a_storage_is_named_as_its_signer_names_it(place: str, host: str, tls: Any) -> None:
    """A signature covers the `Host` header: in lower case and ASCII, and without a port that goes without saying."""
    url = f"https://{place}/x?{SECRET_QUERY}"

    async def handler(request: RawRequest) -> bytes:
        if request.headers["host"] != "api.invalid":
            return http_response(200, b"ok")
        if request.path.endswith("/files"):
            return json_response({"id": "f", "filename": "f", "uploadUrl": url}, 201)
        return redirect(302, url)

    async with RawServer(handler, tls.server) as server:
        connector = TCPConnector(ssl=False, resolver=OnePlace(server.port))
        async with ClientSession(connector=connector) as session:
            async with client_of("https://api.invalid/v1", session=session) as client:
                await client.files.upload(b"x", filename="a")
                assert await client.artifacts.read("w1", "a") == b"ok"
    stored = [request for request in server.requests if request.target.startswith("/x")]
    assert [(request.method, request.headers["host"]) for request in stored] == [("PUT", host), ("GET", host)]
    assert {request.target for request in stored} == {f"/x?{SECRET_QUERY}"}


def test_tools_that_show_variables_show_no_secret_of_a_request() -> None:
    """Neither the key, nor a signature, nor the secret of a webhook."""
    request = Request(
        method="POST",
        template="/webhooks",
        url=URL("https://host.invalid/x?signature=s1"),
        headers={"Accept": "*/*"},
        origin_headers={"API_KEY": "s2"},
        body=b"s3: the secret of a webhook",
        connect_timeout=10,
        idle_timeout=60,
    )
    shown = pretty.pretty_repr(request) + repr(request)
    assert "/webhooks" in shown
    assert not {"s1", "s2", "s3"} & {shown[at : at + 2] for at in range(len(shown))}
