"""From a response that isn't a success to the error that says so."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from rebyte_async import errors
from rebyte_async._wire.redact import excerpt, is_page, without_secrets
from rebyte_async.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERRORS_BY_CODE", "api_error", "header", "retry_after_seconds"]

_REQUEST_ID_HEADERS = ("x-request-id", "request-id")  # not documented: read if one comes
_MESSAGE_SHOWN = 500
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
_BY_STATUS: dict[int, type[APIError]] = {
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    429: errors.RateLimitedError,
    500: errors.InternalServerError,
}


def _error_class(status: int, code: str | None) -> type[APIError]:
    """The class by code, when the code fits the status' family, else by status."""
    by_code = ERRORS_BY_CODE.get(code or "")
    by_status = _BY_STATUS.get(status)
    if by_status is errors.RateLimitedError:
        return by_status
    if by_code is not None and issubclass(by_code, errors.ServerError) == (status >= 500):  # noqa: PLR2004
        return by_code
    if by_status is not None:
        return by_status
    if status >= 500:  # noqa: PLR2004 - the family of server errors
        return errors.ServerError
    return errors.BadRequestError if status >= 400 else APIError  # noqa: PLR2004 - the family of request errors


def header(headers: Mapping[str, str], *names: str) -> str | None:
    """The first of the named headers that is there, in any case."""
    lowered = {key.lower(): value for key, value in headers.items()}
    return next((lowered[name.lower()] for name in names if name.lower() in lowered), None)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Read a `Retry-After` header: seconds or a date, as seconds from now; None when it is absent or nonsense."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - much to import for an answer that hardly comes

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


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an error without a description"


def _of_xml(text: str) -> str | None:
    """The code and message of an XML error, as the storages behind signed URLs send them."""
    found = [re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message")]
    return ": ".join(match[1] for match in found if match) or None


def _fields(document: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", document) if isinstance(document, dict) else {}


def _said(document: object) -> tuple[str | None, str | None]:
    """The code and the message of an error document, wherever the server put them."""
    outer = _fields(document)
    found = outer.get("error")
    inner = {"message": found} if isinstance(found, str) else _fields(found)
    code = inner.get("code") or outer.get("code")
    texts = (inner.get("message"), outer.get("realMessage"), outer.get("message"))  # the latter two observed
    message = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return (code if isinstance(code, str) else None), message


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_SHOWN else line[: _MESSAGE_SHOWN - 1] + "…"


def _message(status: int, said: str | None, text: str) -> str:
    message = said or _of_xml(text) or text
    if is_page(message):
        return f"{_reason(status)} (the answer was a page of HTML, as gateways send)"
    if said is None and message.lstrip()[:1] in {"{", "["}:
        return f"{_reason(status)} (the answer had no message)"
    return _one_line(message) or _reason(status)


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
    """The error for an answer that isn't a success, by code and then by status.

    Args:
        status: The answer's status.
        headers: The answer's headers.
        text: Its body, already without secrets.
        document: The body as JSON, or None where it isn't.
        method: The request's method.
        url: The request's URL without its query.
        attempts: How often the request was tried.
        now: The time, for a `Retry-After` that is a date.
    """
    code, said = _said(document)
    text, said = without_secrets(text), None if said is None else without_secrets(said)
    return _error_class(status, code)(
        status,
        code,
        _message(status, said, text),
        method,
        url,
        header(headers, *_REQUEST_ID_HEADERS),
        retry_after_seconds(header(headers, "retry-after"), now),
        excerpt(text),
        attempts,
    )
