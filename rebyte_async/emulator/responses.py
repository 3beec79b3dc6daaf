"""The answers that endpoints give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rebyte_async.emulator.errors import envelope

if TYPE_CHECKING:
    from rebyte_async.emulator.errors import ApiError


def json_response(data: Any, status: int = 200) -> web.Response:
    """An answer with JSON."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def empty_response() -> web.Response:
    """An answer without a body."""
    return web.Response(status=204)


def error_response(refusal: ApiError) -> web.Response:
    """An answer that says what is wrong with the request."""
    return json_response(envelope(refusal.code, refusal.message), refusal.status)


def read_json(response: web.StreamResponse) -> Any:
    """The JSON in an answer that hasn't been sent; None if there is none."""
    body = response.body if isinstance(response, web.Response) else None
    if response.content_type != "application/json" or not isinstance(body, bytes | bytearray):
        return None
    return json.loads(body)
