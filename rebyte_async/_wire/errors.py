"""Make the error for a response that isn't a success."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from rebyte_async import errors
from rebyte_async._wire.json import as_object, as_str
from rebyte_async._wire.redact import excerpt, is_html, is_html_page, printable, without_secrets
from rebyte_async.errors import APIError

_LONGEST_MESSAGE = 500
ERRORS_BY_CODE: dict[str, type[APIError]] = {
    "missing_api_key": errors.MissingAPIKeyError,
    "invalid_api_key": errors.InvalidAPIKeyError,
    "unauthorized": errors.AuthenticationError,  # an older code: observed
    "insufficient_scopes": errors.InsufficientScopesError,
    "agent_disabled": errors.AgentDisabledError,
    "validation_error": errors.ValidationError,
    "limit_exceeded": errors.LimitExceededError,
    "not_found": errors.NotFoundError,
    "internal_error": errors.InternalServerError,
}
_ERRORS_BY_STATUS: dict[int, type[APIError]] = {
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    429: errors.RateLimitedError,
    500: errors.InternalServerError,
}


def api_error(
    *,
    status: int,
    headers: Mapping[str, str],
    text: str,
    document: object,
    method: str,
    url: str,
    attempts: int,
    now: datetime,
) -> APIError:
    """Make the error for a response: its class by the error code, else by the status."""
    lowered = {name.lower(): value for name, value in headers.items()}
    code, message = _read_code_and_message(document)
    text = without_secrets(text)
    message = None if message is None else without_secrets(message)
    return _error_class(status, code)(
        status,
        code,
        _make_message(status, message, text),
        method,
        url,
        read_request_id(lowered),
        _retry_after_seconds(lowered.get("retry-after"), now),
        excerpt(text),
        attempts,
    )


def read_request_id(headers: Mapping[str, str]) -> str | None:
    """Read the server's id of a request; neither header is documented."""
    return printable(headers.get("x-request-id", headers.get("request-id", ""))) or None


def _retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Read a `Retry-After` header, in seconds or as a date: the seconds from now, or None where it can't be read."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, and few responses need it

    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _error_class(status: int, code: str | None) -> type[APIError]:
    """Choose the class by the code if the code fits the family of the status, else by the status."""
    by_code = ERRORS_BY_CODE.get(code or "")
    by_status = _ERRORS_BY_STATUS.get(status)
    is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if by_status is errors.RateLimitedError:
        return by_status
    if by_code is not None and issubclass(by_code, errors.ServerError) == is_server_error:
        return by_code
    if by_status is not None or status < HTTPStatus.BAD_REQUEST:
        return by_status or APIError
    return errors.ServerError if is_server_error else errors.BadRequestError


def _read_code_and_message(document: object) -> tuple[str | None, str | None]:
    """Find the code and the message of an error document, wherever the server put them."""
    outer = as_object(document) or {}
    found = outer.get("error")
    inner = {"message": found} if isinstance(found, str) else as_object(found) or {}
    code = inner.get("code") or outer.get("code")
    texts = (inner.get("message"), outer.get("realMessage"), outer.get("message"))  # the latter two observed
    message = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return None if (known := as_str(code)) is None else printable(known), message


def _make_message(status: int, message: str | None, text: str) -> str:
    shown = message or _read_xml_message(text) or text
    if is_html(shown) if message is None else is_html_page(message):
        return f"{_reason(status)} (the response was a page of HTML, as gateways send)"
    if message is None and shown.lstrip()[:1] in {"{", "["}:
        return f"{_reason(status)} (the response had no message)"
    line = " ".join(shown.split()) or _reason(status)
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an error without a description"


def _read_xml_message(text: str) -> str | None:
    """Read the code and the message of an XML error, as the storages that signed URLs lead to send them."""
    found = [re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message")]
    return ": ".join(match[1] for match in found if match) or None
