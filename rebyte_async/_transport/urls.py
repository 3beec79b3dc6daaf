"""Which addresses the client may send to, and where a redirect may lead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from yarl import URL

from rebyte_async._validate import is_loopback
from rebyte_async.errors import ConfigurationError

MAX_REDIRECTS = 10
LONGEST_HEADER = 64 * 1024
"""The longest line of a response's head, in bytes; aiohttp's own limit is shorter than some signed URLs."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
"""What is in no URL: yarl drops some of these silently, and others would end a line of the request."""
_VERSIONED = re.compile(r"/v[0-9]+/*$", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class RedirectRefusedError(Exception):
    """A redirect that isn't followed: the status of its response, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_signed_url(text: str) -> URL:
    """Read an absolute URL that may be signed: letter by letter, except for its host.

    A signature covers the `Host` header too. Signers take the name in lower case, in ASCII, and without a port that
    goes without saying, because this is what browsers send, so it is what is sent here. A dot at its end stays.

    Raises ValueError for what is no absolute URL.
    """
    if _CONTROL_CHARACTER.search(text):
        raise ValueError("a control character")
    url = URL(text, encoded=True)
    url = url.with_host(url.raw_host or "")
    if not url.scheme or not url.host:  # which raises for an invalid one
        raise ValueError("no scheme or host")
    return url


def is_confidential_url(text: str) -> bool:
    """Whether a request to a URL can't be read on the way: https, or http on this machine."""
    try:
        url = read_signed_url(text)
    except ValueError:
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))


def may_be_handed_out(text: str, base_url: URL) -> bool:
    """Whether an API may have the client send to or read from a URL: not where that is less safe than the API itself.

    An API on https that names an address of this machine means its own machine, or a service here that isn't its own.
    """
    if not is_confidential_url(text):
        return False
    url = read_signed_url(text)
    return base_url.scheme != "https" or (url.scheme == "https" and not _leads_home(base_url, url))


def is_same_origin(one: URL, other: URL) -> bool:
    """Whether two URLs have the same scheme, host and port, however these are spelled."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _leads_home(source: URL, target: URL) -> bool:
    """Whether another machine leads to this one."""
    return is_loopback(target.host) and not is_loopback(source.host)


def parse_base_url(text: str) -> URL:
    """Read and check the address of an API: an absolute http or https URL without user, query and fragment.

    Plain http to another machine is refused as well: it would send the key for everyone to read.
    """
    try:
        url = URL(text.strip())
        host = url.host
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"base_url is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not host:
        raise ConfigurationError("base_url must be absolute, such as https://api.rebyte.ai/v1")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ConfigurationError("base_url must have no user, query or fragment")
    if not _VERSIONED.search(url.raw_path):
        raise ConfigurationError(f"base_url must end with the API's version, as in {url.with_path('/v1')}")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"base_url is plain http to {host}: the API key would travel unencrypted. Use https; plain http is "
            "accepted for this machine alone (localhost, 127.0.0.1, ::1)"
        )
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def redact_url(url: URL) -> str:
    """Return a URL as errors and logs may show it: without user, query and fragment, which can be signatures."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def resolve_redirect(method: str, url: URL, status: int, headers: Mapping[str, str]) -> URL | None:
    """Return where a response redirects to; None if it is no redirect.

    A GET is followed anywhere but from https to http. Another method is followed only where the server asks for the
    same request again (307, 308) at the same origin, so that no body leaves it. Any other is a `RedirectRefusedError`.
    """
    if status not in _REDIRECTS:
        return None
    target = url
    location = headers.get("Location", "")
    is_usable = False
    with suppress(ValueError):
        target = _join(url, location)
        is_usable = bool(location) and target.scheme in {"http", "https"} and bool(target.host)
    if not is_usable:
        raise RedirectRefusedError(status, "a redirect without a usable Location")
    if url.scheme == "https" and target.scheme == "http":
        raise RedirectRefusedError(status, f"a redirect from https to plain http at {target.host} was not followed")
    if url.scheme == "https" and _leads_home(url, target):
        raise RedirectRefusedError(status, f"a redirect to this machine ({target.host}) was not followed")
    if method == "GET":
        return target
    if status not in {307, 308}:  # the others have clients send a GET
        raise RedirectRefusedError(status, f"a {method} that is redirected with {status} was not turned into a GET")
    if not is_same_origin(target, url):
        raise RedirectRefusedError(status, f"a {method} is never redirected to another origin ({target.host})")
    return target


def _join(url: URL, location: str) -> URL:
    """Return where a `Location` leads from a URL, letter by letter as it was given: who signed it signed these."""
    location = location.partition("#")[0]
    if _ABSOLUTE.match(location):
        return read_signed_url(location)
    if location.startswith("//"):
        return read_signed_url(f"{url.scheme}:{location}")
    if _CONTROL_CHARACTER.search(location):
        raise ValueError("a control character")
    if location.startswith("/"):
        return URL(f"{url.origin()}{location}", encoded=True)
    return url.join(URL(location, encoded=True))
