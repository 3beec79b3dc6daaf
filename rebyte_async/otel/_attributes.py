"""Attributes of spans: what an operation was about, and how it ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from rebyte_async.errors import APIError, RebyteError

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the semantic conventions that the names of attributes are from."""
_PROPAGATOR = TraceContextTextMapPropagator()
"""Baggage isn't propagated: it holds whatever an application put there, for its own services."""


def server_attributes(url: URL) -> dict[str, str | int]:
    return {"server.address": url.host or "", "server.port": url.port or 0}


def headers_of(span: Span) -> Mapping[str, str]:
    """Return the headers that carry a span to the API."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier


@contextmanager
def activate(span: Span) -> Generator[None]:
    """Make a span the current one, in a block that begins and ends in one coroutine."""
    context = set_span_in_context(span)
    token = attach(context)
    try:
        yield
    finally:
        if get_current() is context:  # a coroutine that is dropped ends in the context of whatever drops it
            detach(token)


def message(role: str, text: str) -> str:
    """Return a message in the form of the semantic conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def failure_attributes(error: BaseException) -> dict[str, str | int]:
    """Return what may be known of an error: none of its words, which can be the server's, and so the prompt's."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    attributes: dict[str, str | int] = {"error.type": name}
    answered = error if isinstance(error, APIError) else error.__cause__
    if isinstance(answered, APIError):
        attributes["http.response.status_code"] = answered.status
        if answered.code:
            attributes["rebyte.error.code"] = answered.code
        if answered.request_id:
            attributes["rebyte.request_id"] = answered.request_id
    if isinstance(error, APIError):
        attributes["error.type"] = str(error.status)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        attributes["error.type"] = "cancelled"
    return attributes


def fail(span: Span, error: BaseException, *, content: bool) -> None:
    """Mark a span as failed. The words of an error can be the server's, and so are left out like other content."""
    span.set_attributes(failure_attributes(error))
    span.set_status(Status(StatusCode.ERROR, str(error) if content else _system_error(error)))


def _system_error(error: BaseException | None) -> str | None:
    """Return what the system says about a connection that failed, if that is the cause."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, RebyteError):
            return str(error) or None
        error = error.__cause__
    return None
