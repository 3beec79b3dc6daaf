"""What errors may not show, taken out of what others have said."""

from __future__ import annotations

import re

__all__ = ["excerpt", "is_page", "without_secrets"]

_SHOWN = 2_000


def is_page(text: str) -> bool:
    """Whether a text is a page of HTML, or has one in it, as gateways send."""
    return re.search(r"\A\s*<|<!doctype|<html|<body|<head", text, re.IGNORECASE) is not None


def excerpt(text: str) -> str | None:
    """The beginning of a body for an error to keep, without secrets; None where there is none, or a page of HTML."""
    return None if is_page(text) else without_secrets(text)[:_SHOWN] or None


def without_secrets(text: str) -> str:
    """A text without API keys and without the queries of URLs, whoever has put them there."""
    text = re.sub(r"rbk_[\w-]+", "rbk_…", text)
    text = re.sub(r"(https?://[^\s\"'<>?]*)\?[^\s\"'<>]*", r"\1?…", text)
    return re.sub(r"\?[^\s\"'<>]*(?:sign|sig=|token|credential)[^\s\"'<>]*", "?…", text, flags=re.IGNORECASE)
