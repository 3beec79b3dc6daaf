"""Authorization of requests: keys with scopes for the API, and signed URLs for the storage."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import define, field
from yarl import URL

from rebyte_async.emulator.responses import ApiError, access_denied, storage_error

if TYPE_CHECKING:
    from aiohttp import web

KEY_HEADERS = ("API_KEY", "api-key", "x-api-key")
"""The names under which the service accepts a key."""


def authorize(keys: Mapping[str, frozenset[str] | None], key: str | None, scope: str) -> None:
    """Raise an `ApiError` unless the key exists and has the scope."""
    if not key:
        raise ApiError(401, "missing_api_key", "The API_KEY header is missing.")
    if key not in keys:
        raise ApiError(401, "invalid_api_key", "The API key is invalid or expired.")
    scopes = keys[key]
    if scopes is not None and scope not in scopes:
        raise ApiError(403, "insufficient_scopes", f"The API key lacks the scope {scope}.")


@define
class UrlSigner:
    """Signs URLs, and checks them.

    *Source*: contract §5, documented (that they expire after an hour; their form is the emulator's own)
    """

    secret: str = field(repr=False)
    clock: Callable[[], datetime]
    lifetime: float
    """Seconds until a URL expires."""
    _serial: int = field(default=0, init=False)
    _last_expired: int = field(default=0, init=False)

    def sign(self, method: str, url: str, content_type: str = "") -> str:
        """Sign a URL for one method, and for one content type if the request has a body."""
        self._serial += 1
        expires = int(self.clock().timestamp() + self.lifetime)
        query = {"expires": str(expires), "serial": str(self._serial)}
        signature = self._signature(method, URL(url), content_type, query)
        return str(URL(url).with_query({**query, "signature": signature}))

    def expire_all(self) -> None:
        self._last_expired = self._serial

    def check(self, request: web.BaseRequest, content_type: str = "") -> web.Response | None:
        """Return an error response if the URL of a request doesn't authorize it."""
        query = {name: request.url.query.get(name, "0") for name in ("expires", "serial")}
        signature = self._signature(request.method, request.url, content_type, query)
        if not hmac.compare_digest(signature, request.url.query.get("signature", "")):
            return access_denied("The signature doesn't match the request.")
        if int(query["expires"]) <= self.clock().timestamp() or int(query["serial"]) <= self._last_expired:
            return access_denied("The URL has expired.")
        return None

    def check_upload(self, request: web.BaseRequest) -> web.Response | None:
        """Return an error response if the URL of a PUT doesn't authorize it, or if the PUT has no declared length."""
        error = self.check(request, request.headers.get("Content-Type", ""))
        if error is None and request.content_length is None:
            return storage_error(411, "MissingContentLength", "A Content-Length header is required.")
        return error

    def _signature(self, method: str, url: URL, content_type: str, query: dict[str, str]) -> str:
        # The path is decoded, because clients differ in which characters they encode beyond need.
        path = unquote(url.raw_path)
        text = "\n".join((method, path, content_type, query["expires"], query["serial"]))
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
