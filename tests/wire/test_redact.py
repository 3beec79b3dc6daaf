"""Errors show no secrets and no pages of HTML."""

from __future__ import annotations

import pytest

from rebyte_async._wire.redact import excerpt, is_html, json_excerpt, shorten, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key rbk_Ab-0_9 refused", "key rbk_… refused"),
        ("see https://s.invalid/a?X-Amz-Signature=abc now", "see https://s.invalid/a?… now"),
        ("PUT /b?sig=abc no", "PUT /b?… no"),
        ("GET /tasks?limit=5: no", "GET /tasks?limit=5: no"),
        ("what now?", "what now?"),
    ],
)
def test_secrets_are_removed(text: str, shown: str) -> None:
    """API keys and the queries of URLs are left out."""
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [("<p>x", True), (" \n<html>", True), ("it said <!DOCTYPE html>", True), ("a < b", False), ("", False)],
)
def test_pages_of_html_are_recognized(text: str, *, expected: bool) -> None:
    """A page of HTML is recognized, also inside other text."""
    assert is_html(text) is expected


def test_an_excerpt_is_short_and_clean() -> None:
    """An excerpt is at most 2,000 characters without secrets; there is none of an empty body or a page of HTML."""
    assert excerpt("rbk_1 " + "x" * 5000) == "rbk_… " + "x" * 1994
    assert excerpt("") is None
    assert excerpt("<html>") is None


def test_json_that_quotes_a_page_is_kept() -> None:
    """Only a body that is a page of HTML is left out."""
    assert excerpt(' {"message": "<html>"}') == ' {"message": "<html>"}'


@pytest.mark.parametrize(
    "data", ["é" * 5000, ("é" * 5000).encode(), ("😀" * 5000).encode(), ("é" * 1999).encode() + b"\xff" * 9000]
)
def test_a_body_is_shortened_by_characters(data: bytes | str) -> None:
    """At most 2,000 characters of a body are kept, however many bytes those are."""
    assert len(shorten(data)) == 2000


def test_a_value_that_cannot_be_written_has_no_excerpt() -> None:
    """An excerpt of a value that is nested too deeply for JSON is left out of the error."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert json_excerpt(nested) is None
