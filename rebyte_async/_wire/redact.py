"""Keep secrets and pages of HTML out of errors, and bodies short."""

from __future__ import annotations

import re

from rebyte_async._wire import json

_EXCERPT = 2_000
"""How many characters of a body an error keeps."""


def is_html(text: str) -> bool:
    """Whether a text is a page of HTML or quotes one, as gateways send."""
    return re.search(r"\A\s*<|<!doctype|<html|<body|<head", text, re.IGNORECASE) is not None


def excerpt(text: str) -> str | None:
    """Return the beginning of a body for an error to keep, without secrets; None for an empty one or a page of HTML."""
    return None if is_html(text) else without_secrets(text)[:_EXCERPT] or None


def json_excerpt(document: object) -> str | None:
    """Return the beginning of a JSON value, without the values of fields whose names speak of secrets."""
    text = json.dumps(document).decode(errors="replace")
    text = re.sub(r'("\w*(?:key|secret|token)"\s*:\s*)"(?:[^"\\]|\\.)*"', r'\1"…"', text, flags=re.IGNORECASE)
    return excerpt(text)


def shorten(data: bytes | str) -> str:
    """Return the beginning of a body as text, as long as `excerpt` but with all that it holds."""
    text = data if isinstance(data, str) else data[: 4 * _EXCERPT].decode("utf-8", "replace")
    return text[:_EXCERPT]


def without_secrets(text: str) -> str:
    """Remove API keys and the queries of URLs from a text."""
    text = re.sub(r"rbk_[\w-]+", "rbk_…", text)
    text = re.sub(r"(https?://[^\s\"'<>?]*)\?[^\s\"'<>]*", r"\1?…", text)
    return re.sub(r"\?[^\s\"'<>]*(?:sign|sig=|token|credential)[^\s\"'<>]*", "?…", text, flags=re.IGNORECASE)
