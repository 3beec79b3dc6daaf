"""The URL that a delivery was signed for."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from yarl import URL

from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from rebyte_async.webhooks.verifier import WebhookVerifier

__all__ = ["checked_url", "presumed_url"]


def checked_url(url: object) -> str | None:
    """A URL that a webhook can have been registered with, exactly as it was given.

    Raises:
        ConfigurationError: It can't be one.
    """
    if url is None:
        return None
    try:
        parsed = URL(url) if isinstance(url, str) else None
    except ValueError:
        parsed = None
    if parsed is None or parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"url must be the absolute URL that was registered, not {url!r:.200}")
    return str(url)


def presumed_url(seen: str | None, verifier: WebhookVerifier) -> str | None:
    """The URL as the request shows it, where nobody has said which one was registered.

    A request says itself what its host is. Whoever has a webhook too could pass deliveries of theirs on, with their
    own host, and the signature would hold. So it is believed only beside a secret, or on this machine.

    Raises:
        ConfigurationError: It isn't believed.
    """
    is_needed = verifier.checks_signature and verifier.scheme.needs_url
    if not is_needed or verifier.checks_secret or seen is None or _is_loopback(seen):
        return seen
    raise ConfigurationError(
        "the receiver needs url=, exactly as it was registered: a signature covers it, and what a request says of its "
        "own host proves nothing"
    )


def _is_loopback(seen: str) -> bool:
    try:
        host = URL(seen).host or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
