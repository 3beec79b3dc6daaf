"""The rules for addresses, by themselves: which may be a base URL, and where a redirect may lead."""

from __future__ import annotations

import pytest
from yarl import URL

from rebyte_async._transport.urls import (
    RedirectRefusedError,
    is_confidential_url,
    may_be_handed_out,
    parse_base_url,
    read_signed_url,
    redact_url,
    resolve_redirect,
)
from rebyte_async.errors import ConfigurationError

API = URL("https://api.example/v1/tasks")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example/v1", "https://api.example/v1"),
        (" https://api.example/v1//\n", "https://api.example/v1"),
        ("https://api.example/api/v2", "https://api.example/api/v2"),
        ("HTTP://LOCALHOST:8787/v1", "http://localhost:8787/v1"),
        ("http://127.0.0.1:1/a%2Fb/v12/", "http://127.0.0.1:1/a%2Fb/v12"),
        ("http://[::1]/v1", "http://[::1]/v1"),
    ],
)
def test_an_address_is_read_as_it_is(text: str, url: str) -> None:
    """Only white space around it and slashes at its end are left out."""
    assert str(parse_base_url(text)) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://user@api.example/v1", "no user"),
        ("https://user:secret@api.example/v1", "no user"),
        ("https://:secret@api.example/v1", "no user"),
        ("http://user@localhost/v1", "no user"),
        ("https://api.example/v1?x=1", "no user, query"),
        ("https://api.example/v1#part", "no user, query or fragment"),
        ("ftp://127.0.0.1/v1", "absolute"),
        ("ws://localhost/v1", "absolute"),
        ("file://localhost/v1", "absolute"),
        ("//localhost/v1", "absolute"),
        ("localhost:8787", "absolute"),
        ("https:///v1", "absolute|no URL"),
        ("https://api.example", "must end with .* as in https://api.example/v1"),
        ("https://api.example/v1/tasks", "must end with"),
        ("http://api.example/v1", "plain http to api.example"),
        ("http://10.0.0.1/v1", "plain http to 10.0.0.1"),
        (b"https://api.example", "no URL"),
        (5, "no URL"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_with_its_reason(text: str, reason: str) -> None:
    """The reason says what is wrong, and a password isn't repeated."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_base_url(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://storage.example/x", True),
        ("https://localhost/x", True),
        ("http://localhost/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://storage.example/x", False),
        ("ftp://localhost/x", False),
        ("wss://storage.example/x", False),
        ("https:///x", False),
        ("/x", False),
        ("", False),
        ("https://storage.example/\x1f", False),
        ("https://storage.example:port/", False),
    ],
)
def test_a_url_is_confidential_on_https_and_on_this_machine(url: str, *, expected: bool) -> None:
    """Anything else could be read on the way, or is no URL that a request can be sent to."""
    assert is_confidential_url(url) is expected


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    """User, query and fragment are left out."""
    assert redact_url(URL("https://user:pw@storage.example/a%2Fb?sig=1#part")) == "https://storage.example/a%2Fb"


@pytest.mark.parametrize("status", [200, 204, 300, 304, 305, 306, 309, 400])
def test_another_status_is_no_redirect(status: int) -> None:
    """A `Location` alone makes no redirect."""
    assert resolve_redirect("GET", API, status, {"Location": "/v1/x"}) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_two_statuses_repeat_anything_but_a_get(status: int, method: str) -> None:
    """Clients make a GET of it after the others, which would be another request than the one that was asked for."""
    if method == "GET" or status in {307, 308}:
        assert str(resolve_redirect(method, API, status, {"Location": "/v1/x"})) == "https://api.example/v1/x"
    else:
        with pytest.raises(RedirectRefusedError, match=f"a {method} that is redirected with {status}"):
            resolve_redirect(method, API, status, {"Location": "/v1/x"})


@pytest.mark.parametrize("form", ["https://api.example/v1/{}", "//api.example/v1/{}", "/v1/{}", "{}"])
@pytest.mark.parametrize("letters", ["a%2fb", "%7Ea%2C", "a%40b?c=%3A+%2B", "%28x%29?e=~_%FF"])
def test_a_location_is_read_letter_by_letter(form: str, letters: str) -> None:
    """Who signed the URL signed these letters, in every form of it."""
    target = resolve_redirect("GET", API, 302, {"Location": form.format(letters)})
    assert str(target) == f"https://api.example/v1/{letters}"


@pytest.mark.parametrize(
    "headers", [{}, {"Location": ""}, {"Location": "https://"}, {"Location": "ftp://api.example/"}]
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_redirect_needs_a_location_on_http(headers: dict[str, str], method: str) -> None:
    """Without one, the error has the status of the response, and says what is missing."""
    with pytest.raises(RedirectRefusedError, match="usable Location") as caught:
        resolve_redirect(method, API, 308, headers)
    assert caught.value.status == 308


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other.example/x?a=%2f", "https://other.example/x?a=%2f"),
        ("HTTPS://other.example/x", "https://other.example/x"),
        ("//other.example/x", "https://other.example/x"),
        ("/x?a=1", "https://api.example/x?a=1"),
        ("x", "https://api.example/v1/x"),
        ("?a=1", "https://api.example/v1/tasks?a=1"),
        ("/x#part", "https://api.example/x"),
        ("/x:y", "https://api.example/x:y"),
    ],
)
def test_a_get_is_followed_to_any_form_of_location(location: str, target: str) -> None:
    """Absolute, without a scheme, without a host, or relative to the path."""
    assert str(resolve_redirect("GET", API, 302, {"Location": location})) == target


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("location", "follows"),
    [
        ("https://api.example/x", True),
        ("https://api.example:443/x", True),
        ("https://API.example/x", True),
        ("https://sub.api.example/x", False),
        ("https://api.example:444/x", False),
        ("https://other.example/x", False),
        ("https://api.example.other/x", False),
    ],
)
def test_a_change_stays_at_its_origin(method: str, location: str, *, follows: bool) -> None:
    """Scheme, host and port make the origin."""
    if follows:
        target = resolve_redirect(method, API, 307, {"Location": location})
        assert target is not None
        assert (target.host, target.path) == ("api.example", "/x")
    else:
        with pytest.raises(RedirectRefusedError, match="another origin"):
            resolve_redirect(method, API, 307, {"Location": location})


@pytest.mark.parametrize(
    ("source", "location", "follows"),
    [
        ("https://api.example/v1", "http://api.example/v1", False),
        ("https://localhost/v1", "http://localhost/v1", False),
        ("https://localhost/v1", "https://127.0.0.1/v1", True),
        ("https://api.example/v1", "https://localhost/v1", False),
        ("http://localhost/v1", "https://127.0.0.1/v1", True),
        ("http://localhost/v1", "http://127.0.0.1:2/v1", True),
        ("http://localhost/v1", "https://api.example/v1", True),
    ],
)
def test_a_redirect_is_never_to_less_safety(source: str, location: str, *, follows: bool) -> None:
    """Not from https to http, and not from another machine to a service of this one."""
    if follows:
        assert str(resolve_redirect("GET", URL(source), 302, {"Location": location})) == location
    else:
        with pytest.raises(RedirectRefusedError) as caught:
            resolve_redirect("GET", URL(source), 302, {"Location": location})
        assert caught.value.status == 302


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://Storage.Example/A%7eb/%2F?Sig=%2c&&x", "https://storage.example/A%7eb/%2F?Sig=%2c&&x"),
        ("https://storage.example:443/x", "https://storage.example/x"),
        ("https://storage.example:0443/x", "https://storage.example/x"),
        ("http://storage.example:443/x", "http://storage.example:443/x"),
        ("https://storage.example./x", "https://storage.example./x"),
        ("https://b\u00fccher.example/\u00fc", "https://xn--bcher-kva.example/\u00fc"),
        ("https://a_b.storage.example/x", "https://a_b.storage.example/x"),
        ("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x"),
    ],
)
def test_a_signed_address_keeps_its_letters_but_for_the_host(text: str, url: str) -> None:
    """The host is as signers and browsers have it; the path and the query are what was signed."""
    assert str(read_signed_url(text)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/x",
        "//storage.example/x",
        "https:///x",
        "mailto:a@storage.example",
        "https://a b.example/x",
        "https://xn--a/x",
        "https://" + "\u00e4" * 80 + ".example/x",
        "https://[::1/x",
        "https://storage.example:99999/x",
        "https://storage.example/\t",
    ],
)
def test_what_is_no_absolute_address_is_refused(text: str) -> None:
    """Also where only the network would find out, or where aiohttp would raise another error."""
    assert not is_confidential_url(text)
    with pytest.raises(ValueError, match=r"\w"):
        read_signed_url(text)


@pytest.mark.parametrize(
    ("url", "api", "may"),
    [
        ("https://storage.example/x?sig=1", "https://api.example", True),
        ("http://storage.example/x", "https://api.example", False),
        ("http://127.0.0.1/x", "https://api.example", False),
        ("https://localhost/x", "https://api.example", False),
        ("https://[::1]/x", "https://api.example", False),
        ("ftp://storage.example/x", "https://api.example", False),
        ("https://localhost:1/x", "https://localhost", True),
        ("http://localhost:1/x", "https://localhost", False),
        ("http://127.0.0.1:1/x", "http://localhost:2", True),
        ("http://storage.example/x", "http://localhost:2", False),
        ("https://storage.example/a\tb", "https://api.example", False),
        ("https://storage.example/a\r\nX-Evil: 1", "https://api.example", False),
        ("https://storage.example/a\0", "https://api.example", False),
        ("https://storage.example:abc/", "https://api.example", False),
    ],
)
def test_an_api_hands_out_no_address_less_safe_than_its_own(url: str, api: str, *, may: bool) -> None:
    """A file would go in the clear, or to a service of this machine."""
    assert may_be_handed_out(url, URL(api)) is may


@pytest.mark.parametrize("location", ["https://localhost/x", "https://127.0.0.1/x", "https://[::1]:1/x"])
def test_a_redirect_from_another_machine_never_leads_to_this_one(location: str) -> None:
    """Another machine knows nothing of the services of this one."""
    with pytest.raises(RedirectRefusedError, match="this machine"):
        resolve_redirect("GET", URL("https://api.example/v1"), 302, {"Location": location})


@pytest.mark.parametrize("character", ["\t", "\r\n", "\n", "\0", "\x7f"])
def test_a_redirect_with_a_control_character_is_refused(character: str) -> None:
    """Without it the URL is another one; with it the request could be two."""
    with pytest.raises(RedirectRefusedError, match="usable"):
        resolve_redirect("GET", URL("https://api.example/v1"), 302, {"Location": f"/a{character}b"})
