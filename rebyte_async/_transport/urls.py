"""Which addresses the client may send to, and where a redirect may lead."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from yarl import URL

from rebyte_async._validate import is_loopback
from rebyte_async.errors import ConfigurationError

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class RedirectRefusedError(Exception):
    """A redirect that isn't followed: the status of its response, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def is_confidential_url(text: str) -> bool:
    """Whether a request to a URL can't be read on the way: https, or http on this machine."""
    try:
        url = URL(text)
        host = url.host
    except ValueError:
        return False
    return bool(host) and (url.scheme == "https" or (url.scheme == "http" and is_loopback(host)))


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
        target = url.join(URL(location))
        is_usable = bool(location) and target.scheme in {"http", "https"} and bool(target.host)
    if not is_usable:
        raise RedirectRefusedError(status, "a redirect without a usable Location")
    if url.scheme == "https" and target.scheme == "http":
        raise RedirectRefusedError(status, f"a redirect from https to plain http at {target.host} was not followed")
    if method == "GET":
        return target
    if status not in {307, 308}:  # the others have clients send a GET
        raise RedirectRefusedError(status, f"a {method} that is redirected with {status} was not turned into a GET")
    if target.origin() != url.origin():
        raise RedirectRefusedError(status, f"a {method} is never redirected to another origin ({target.host})")
    return target
