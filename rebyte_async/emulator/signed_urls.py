"""URLs that carry their own authorization."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import define, field
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class BadSignature(Exception):  # noqa: N818 - it is an answer and no failure of the emulator
    """A signed URL doesn't authorize what was asked for."""


@define
class Signer:
    """Signs URLs, and checks them.

    *Source*: contract, section 5 (documented: they expire after an hour; how they look is ours).
    """

    secret: str = field(repr=False)
    clock: Callable[[], datetime]
    lifetime: float
    """Seconds until a URL expires."""
    _serial: int = field(default=0, init=False)
    _expired: int = field(default=0, init=False)

    def sign(self, method: str, url: str, content_type: str = "") -> str:
        """A URL for one method, and for one content type if the request has a body."""
        self._serial += 1
        expires = int(self.clock().timestamp() + self.lifetime)
        query = {"expires": str(expires), "serial": str(self._serial)}
        signature = self._signature(method, URL(url), content_type, query)
        return str(URL(url).with_query({**query, "signature": signature}))

    def check(self, method: str, url: URL, content_type: str = "") -> None:
        """See whether a URL authorizes a request.

        Raises:
            BadSignature: It is for something else, or expired, or nobody signed it.
        """
        query = {name: url.query.get(name, "0") for name in ("expires", "serial")}
        signature = self._signature(method, url, content_type, query)
        if not hmac.compare_digest(signature, url.query.get("signature", "")):
            raise BadSignature("The signature doesn't match the request.")
        if int(query["expires"]) <= self.clock().timestamp() or int(query["serial"]) <= self._expired:
            raise BadSignature("The URL has expired.")

    def expire(self) -> None:
        """Let every URL that was signed so far expire."""
        self._expired = self._serial

    def _signature(self, method: str, url: URL, content_type: str, query: dict[str, str]) -> str:
        # Decoded, because clients don't agree on what they encode that needn't be.
        path = unquote(url.raw_path)
        text = "\n".join((method, path, content_type, query["expires"], query["serial"]))
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
