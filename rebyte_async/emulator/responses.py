"""The responses of both origins, and the errors that become responses."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from attrs import define


@define(eq=False)
class ApiError(Exception):
    """The service responds with an error in the API's envelope (contract §1, documented)."""

    status: int
    code: str
    message: str


def validation_error(message: str) -> ApiError:
    return ApiError(400, "validation_error", message)


def not_found(kind: str) -> ApiError:
    return ApiError(404, "not_found", f"{kind} not found.")


def conflict(message: str) -> ApiError:
    """The request came too late. GUESS(§3): the code; only the status was observed."""
    return ApiError(409, "conflict", message)


def json_response(data: Any, status: int = 200) -> web.Response:
    # Half of a surrogate pair, from a path that isn't UTF-8, is escaped as JSON escapes it.
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def error_response(error: ApiError) -> web.Response:
    return json_response({"error": {"code": error.code, "message": error.message}}, error.status)


def read_json(response: web.StreamResponse) -> Any:
    """Decode the JSON of a response that hasn't been sent; None if it has none."""
    body = response.body if isinstance(response, web.Response) else None
    if response.content_type != "application/json" or not isinstance(body, bytes | bytearray):
        return None
    return json.loads(body)


def storage_error(status: int, code: str, message: str) -> web.Response:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(text=xml, status=status, content_type="application/xml")


def access_denied(message: str) -> web.Response:
    """Make the storage's response to a URL that doesn't authorize its request."""
    return storage_error(403, "AccessDenied", message)
