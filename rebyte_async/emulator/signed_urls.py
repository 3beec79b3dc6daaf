"""URLs that carry their own authorization, and the storage's check of requests to them."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import define, field
from yarl import URL

from rebyte_async.emulator.responses import access_denied, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aiohttp import web


class BadSignatureError(Exception):
    """A signed URL doesn't authorize the request."""


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
        """Let every URL expire that was signed so far."""
        self._last_expired = self._serial

    def check_download(self, request: web.BaseRequest) -> web.Response | None:
        """Return the error if the URL of a request doesn't authorize it."""
        return self._check_response(request, "")

    def check_upload(self, request: web.BaseRequest) -> web.Response | None:
        """Return the error if a PUT isn't authorized by its URL, or doesn't declare its length."""
        error = self._check_response(request, request.headers.get("Content-Type", ""))
        if error is None and request.content_length is None:
            return storage_error(411, "MissingContentLength", "A Content-Length header is required.")
        return error

    def _check_response(self, request: web.BaseRequest, content_type: str) -> web.Response | None:
        try:
            self._check(request.method, request.url, content_type)
        except BadSignatureError as error:
            return access_denied(str(error))
        return None

    def _check(self, method: str, url: URL, content_type: str) -> None:
        query = {name: url.query.get(name, "0") for name in ("expires", "serial")}
        signature = self._signature(method, url, content_type, query)
        if not hmac.compare_digest(signature, url.query.get("signature", "")):
            raise BadSignatureError("The signature doesn't match the request.")
        if int(query["expires"]) <= self.clock().timestamp() or int(query["serial"]) <= self._last_expired:
            raise BadSignatureError("The URL has expired.")

    def _signature(self, method: str, url: URL, content_type: str, query: dict[str, str]) -> str:
        # The path is decoded, because clients differ in which characters they encode beyond need.
        path = unquote(url.raw_path)
        text = "\n".join((method, path, content_type, query["expires"], query["serial"]))
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
