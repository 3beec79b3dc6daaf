"""Keep secrets and pages of HTML out of errors, and bodies short."""

from __future__ import annotations

import re

from rebyte_async._wire import json

_EXCERPT = 2_000
"""How many characters of a body an error keeps."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys, and what shows a text in another order than it has; tabs and line ends are left."""


def is_html(text: str) -> bool:
    """Whether a text is a page of HTML or quotes one, as gateways send."""
    return re.search(r"\A\s*<|<!doctype|<html|<body|<head", text, re.IGNORECASE) is not None


def is_html_page(message: str) -> bool:
    """Whether the message of a JSON error is a whole page of HTML; it may well mention some."""
    return re.search(r"\A\s*<(?:!doctype|html|head|body)|<html.*</html", message, re.IGNORECASE | re.DOTALL) is not None


def excerpt(text: str) -> str | None:
    """Return the beginning of a body for an error to keep, without secrets; None for an empty one or a page of HTML."""
    return None if is_html(text) and not text.lstrip().startswith("{") else without_secrets(text)[:_EXCERPT] or None


def json_excerpt(document: object) -> str | None:
    """Return the beginning of a JSON value, without the values of fields whose names speak of secrets."""
    try:
        text = json.dumps(document).decode()
    except (TypeError, RecursionError):  # a number beyond all bounds, or nested too deeply
        return None
    text = re.sub(r'("\w*(?:key|secret|token)"\s*:\s*)"(?:[^"\\]|\\.)*"', r'\1"…"', text, flags=re.IGNORECASE)
    return excerpt(text)


def shorten(data: bytes | str) -> str:
    """Return the beginning of a body as text, as long as `excerpt` but with all that is printable."""
    text = data if isinstance(data, str) else data[: 4 * _EXCERPT].decode("utf-8", "replace")
    return printable(text[:_EXCERPT])


def printable(text: str) -> str:
    """Replace the control characters of a text from a server: a terminal or a log viewer would obey them."""
    return _UNPRINTABLE.sub("\ufffd", text)


def without_secrets(text: str) -> str:
    """Remove API keys, the queries of URLs and control characters from a text."""
    text = re.sub(r"rbk_[\w-]+", "rbk_…", printable(text))
    text = re.sub(r"(https?://[^\s\"'<>?]*)\?[^\s\"'<>]*", r"\1?…", text)
    return re.sub(r"\?[^\s\"'<>]*(?:sign|sig=|token|credential)[^\s\"'<>]*", "?…", text, flags=re.IGNORECASE)
