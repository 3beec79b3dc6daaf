"""How the storage behind signed URLs refuses requests: in XML, as such storages do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rebyte_async.emulator.signed_urls import BadSignature

if TYPE_CHECKING:
    from rebyte_async.emulator.exchange import Exchange

_ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


def refuse_upload(exchange: Exchange) -> web.Response | None:
    """What is wrong with a PUT: its URL, or that it doesn't say how long it is."""
    refusal = refuse_url(exchange, exchange.request.headers.get("Content-Type", ""))
    if refusal is None and exchange.request.content_length is None:
        return _refusal(411, "MissingContentLength", "A Content-Length header is required.")
    return refusal


def refuse_url(exchange: Exchange, content_type: str = "") -> web.Response | None:
    """What is wrong with the URL of a request."""
    try:
        exchange.state.signer.check(exchange.method, exchange.request.url, content_type)
    except BadSignature as error:
        return denied(str(error))
    return None


def denied(message: str) -> web.Response:
    """The answer to a URL that doesn't authorize its request."""
    return _refusal(403, "AccessDenied", message)


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.Response(text=_ERROR.format(code=code, message=message), status=status, content_type="application/xml")
