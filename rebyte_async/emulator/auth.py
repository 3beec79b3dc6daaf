"""Authorization of requests: keys with scopes for the API, and signed URLs for the storage."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.emulator.responses import ApiError, access_denied, storage_error

if TYPE_CHECKING:
    from aiohttp import web

KEY_HEADERS = ("API_KEY", "api-key", "x-api-key")
"""The names under which the service accepts a key."""
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_ESCAPES = "scope=%7Eteam%2Cread%2fwrite%40%c3%bc%27(*)%21+a%20b:c;d=e/f?g"
"""A query whose letters clients write in other ways: escapes that aren't needed, in lower case, and of spaces."""


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
    """Signs the addresses of requests to the storage, and checks them.

    As a real storage does, it signs what is sent letter by letter. So an address has characters whose escapes are
    needless, lower-case or rare: a client that rewrites it, even to an equivalent one, is refused.

    *Source*: contract §5, documented (that they expire after an hour; their form is the emulator's own)
    """

    secret: str = field(repr=False)
    clock: Callable[[], datetime]
    lifetime: float
    """Seconds until an address expires."""
    _serial: int = field(default=0, init=False)
    _last_expired: int = field(default=0, init=False)

    def sign(self, method: str, path: str, content_type: str = "") -> str:
        """Sign a quoted path for one method, and for one content type if the request has a body.

        Returns:
            The path, spelled anew, and a query.
        """
        self._serial += 1
        expires = int(self.clock().timestamp() + self.lifetime)
        spelled = _ESCAPE.sub(lambda escape: escape[0].lower(), path).replace("-", "%2d")
        target = f"{spelled}?{_ESCAPES}&expires={expires}&serial={self._serial}"
        return f"{target}&signature={self._signature(method, target, content_type)}"

    def expire_all(self) -> None:
        self._last_expired = self._serial

    def check(self, request: web.BaseRequest, content_type: str = "") -> web.Response | None:
        """Return an error response if the address of a request doesn't authorize it."""
        target, _, signature = request.raw_path.rpartition("&signature=")
        expected = self._signature(request.method, target, content_type)
        if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            message = "The method, the address as it was given, letter by letter, or the content type differs."
            return storage_error(403, "SignatureDoesNotMatch", message)
        query = request.query
        if int(query["expires"]) <= self.clock().timestamp() or int(query["serial"]) <= self._last_expired:
            return access_denied("The URL has expired.")
        return None

    def check_upload(self, request: web.BaseRequest) -> web.Response | None:
        """Return an error response if the URL of a PUT doesn't authorize it, or if the PUT has no declared length."""
        error = self.check(request, request.headers.get("Content-Type", ""))
        if error is None and request.content_length is None:
            return storage_error(411, "MissingContentLength", "A Content-Length header is required.")
        return error

    def _signature(self, method: str, target: str, content_type: str) -> str:
        text = f"{method}\n{target}\n{content_type}"
        return hmac.new(self.secret.encode(), text.encode(errors="replace"), hashlib.sha256).hexdigest()
