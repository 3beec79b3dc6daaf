"""Responses that are errors become the error of their code or status."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rebyte_async import errors
from rebyte_async._wire.errors import api_error
from rebyte_async.errors import APIError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def error_of(status: int, body: Any = None, **headers: str) -> APIError:
    """Make the error of a response."""
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api_error(
        status=status,
        headers=named,
        text=text,
        document=document,
        method="GET",
        url="https://api.invalid/v1/x",
        attempts=1,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (401, "missing_api_key", errors.MissingAPIKeyError),
        (401, "invalid_api_key", errors.InvalidAPIKeyError),
        (401, "unauthorized", errors.AuthenticationError),
        (403, "insufficient_scopes", errors.InsufficientScopesError),
        (403, "agent_disabled", errors.AgentDisabledError),
        (400, "validation_error", errors.ValidationError),
        (400, "limit_exceeded", errors.LimitExceededError),
        (404, "not_found", errors.NotFoundError),
        (500, "internal_error", errors.InternalServerError),
        (401, "a_new_code", errors.AuthenticationError),
        (403, "a_new_code", errors.PermissionDeniedError),
        (404, None, errors.NotFoundError),
        (409, None, errors.ConflictError),
        (429, "limit_exceeded", errors.RateLimitedError),
        (422, "a_new_code", errors.BadRequestError),
        (418, None, errors.BadRequestError),
        (400, None, errors.BadRequestError),
        (399, None, APIError),
        (499, "internal_error", errors.BadRequestError),
        (500, None, errors.InternalServerError),
        (502, None, errors.ServerError),
        (599, "a_new_code", errors.ServerError),
        (502, "not_found", errors.ServerError),
        (500, "not_found", errors.InternalServerError),
        (302, None, APIError),
    ],
)
def test_the_class_is_chosen_by_code_else_by_status(status: int, code: str | None, cls: type[APIError]) -> None:
    """Every response has a class of error, also with a code that is newer than the package."""
    error = error_of(status, {"error": {"code": code, "message": "why"}} if code else None)
    assert type(error) is cls
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"code": "x", "message": "under error"}}, "under error"),
        ({"error": "a string"}, "a string"),
        ({"message": "on top"}, "on top"),
        ({"realMessage": "the real one", "message": "the other"}, "the real one"),
        ("plain  words\nin lines", "plain words in lines"),
        ("", "Bad Gateway"),
        ({"odd": 1}, "Bad Gateway (the response had no message)"),
        ([1], "Bad Gateway (the response had no message)"),
        ({"error": {"message": 5}}, "Bad Gateway (the response had no message)"),
    ],
)
def test_the_message_is_found_where_the_server_puts_it(body: Any, message: str) -> None:
    """A message under `error`, on top, or in plain text reads the same."""
    assert error_of(502, body).message == message


@pytest.mark.parametrize(
    "document", [{"error": {"code": "not_found"}}, {"error": "gone", "code": "not_found"}, {"code": "not_found"}]
)
def test_the_code_is_found_where_the_server_puts_it(document: Any) -> None:
    """It is under `error`, or beside the message."""
    assert error_of(404, document).code == "not_found"


def test_a_status_without_a_name_has_a_message() -> None:
    """The error of a status that HTTP doesn't know has a message even if the response has none."""
    assert error_of(599).message == "an error without a description"


def test_the_xml_of_a_storage_is_read() -> None:
    """The code and the message of a storage's XML are the message; other XML is not shown."""
    assert error_of(403, "<?xml?><Error><Code>Denied</Code><Message>no</Message></Error>").message == "Denied: no"
    assert error_of(403, "<Error><Code>Denied</Code></Error>").message == "Denied"
    assert "<" not in error_of(403, "<Error/>").message


@pytest.mark.parametrize(
    "page",
    [
        "<!DOCTYPE html><html><body>bad gateway</body></html>",
        "\n <html>",
        {"error": {"message": "Upstream said <html><body>502</body></html>"}},
        {"message": "<!doctype html>"},
    ],
)
def test_no_message_shows_a_page_of_html(page: Any) -> None:
    """A gateway's page of HTML is replaced by a few words, wherever the response has it."""
    text = str(error_of(502, page))
    assert "<" not in text
    assert "Bad Gateway" in text


def test_a_long_response_is_cut() -> None:
    """The message and the kept body of an error have bounded lengths."""
    error = error_of(500, "x" * 100_000)
    assert len(str(error)) < 700
    assert len(error.body or "") == 2_000


def test_a_message_of_500_characters_is_whole() -> None:
    """A longer one ends with an ellipsis in its place."""
    assert error_of(500, "x" * 500).message == "x" * 500
    assert error_of(500, "x" * 501).message == "x" * 499 + "…"


def test_the_request_id_is_read() -> None:
    """A request id comes from its header, in any case."""
    assert error_of(500, None, X_Request_ID="abc").request_id == "abc"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        ("1.5", 1.5),
        (" 3 ", 3),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=2), usegmt=True), 0),
        ("Fri, 02 Jan 2026 05:05:05 +0200", 60),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 400, None),
        ("Tue, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """A `Retry-After` in seconds or as a date becomes seconds; anything else becomes None."""
    assert error_of(429, None, Retry_After=value).retry_after == seconds


@pytest.mark.parametrize(
    "message", ["the prompt has an unclosed <body> tag", "no <!DOCTYPE html> was found", "<b> is not allowed here"]
)
def test_a_message_that_mentions_html_is_shown(message: str) -> None:
    """Only a page of HTML is left out, as gateways send it; a body in JSON is kept."""
    error = error_of(400, {"error": {"code": "validation_error", "message": message}})
    assert error.message == message
    assert message in str(error.body)
    page = error_of(502, {"message": f"upstream said <html><body>{message}</body></html>"})
    assert "a page of HTML" in page.message
