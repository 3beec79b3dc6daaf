"""The parts of the views that are pure: harmless text, wrapped prose, long things in short."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rebyte_async._terminal import format_duration, one_line, sanitize
from rebyte_async.cli.view.prose import Prose
from rebyte_async.cli.view.text import excerpt, format_age, format_arguments, format_time


@given(st.text(st.characters() | st.sampled_from("\x1b[]0;m\x07\\\x9b\x90\r\n\t")))
def test_sanitized_text_has_no_control_characters(text: str) -> None:
    """Whatever goes in, only line ends are left of what a terminal would obey, and any encoding takes it."""
    sanitized = sanitize(text)
    assert not any(c for c in sanitized if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0))
    sanitized.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b(Bcharset", "charset"),
        ("10%\r20%\r\nend", "10%\n20%\nend"),
        ("a\tb", "a    b"),
        ("\x1b]0;never ended", "]0;never ended"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_sanitize(text: str, expected: str) -> None:
    """Whole sequences vanish; what isn't one loses its control characters."""
    assert sanitize(text) == expected


def test_sanitizing_takes_linear_time() -> None:
    """Sequences that never end don't make it slow: this would take hours if they did."""
    for opening in ("\x1b]", "\x90", "\x9b0", "\x1b[", "\x1b "):
        sanitize(opening * 300_000)


def test_one_line() -> None:
    """Lines are joined, and a long one is cut."""
    assert one_line(" a\n b\x1b[2J ") == "a b"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"


@given(
    st.lists(st.text(st.sampled_from("ab  \n-*`#1.日é") | st.characters(categories=["L", "Z", "P"]), max_size=30)),
    st.integers(8, 60),
)
def test_prose_is_the_same_however_it_is_cut(pieces: list[str], width: int) -> None:
    """Pieces give the lines that the whole gives; no line is wider than the terminal, and no word is lost."""
    pieces = [sanitize(piece) for piece in pieces]
    whole = Prose()
    expected = [line.plain.rstrip() for line in [*whole.feed("".join(pieces), width), *whole.finish()]]
    cut = Prose()
    lines = [line for piece in pieces for line in cut.feed(piece, width)]
    lines += cut.finish()
    assert [line.plain.rstrip() for line in lines] == expected
    assert all(cell_len(line) <= width for line in expected)
    assert "".join("".join(expected).split()) == "".join("".join(pieces).split())


def test_the_rest_of_prose_is_what_is_not_final() -> None:
    """What was given out and the rest make up the text at any time, and looking changes nothing."""
    prose = Prose()
    assert [line.plain for line in prose.feed("one two three fo", 10)] == ["one two"]
    assert [str(prose.rest(10)) for _ in range(2)] == ["three fo"] * 2
    assert [line.plain for line in prose.feed("ur five\n", 10)] == ["three four", "five"]
    assert prose.rest(10) is None


def test_lists_hang() -> None:
    """The further lines of a list item stand below its text."""
    prose = Prose()
    lines = [*prose.feed("- one two three four", 12), *prose.finish()]
    assert [line.plain for line in lines] == ["- one two", "  three four"]


def test_markdown_is_styled_and_kept() -> None:
    """Marks are styled, never removed: what looks like one may be part of a path."""
    (line,) = Prose().feed("see `a/**/b` and **c**\n", 80)
    assert line.plain == "see `a/**/b` and **c**"
    styles = {(line.plain[span.start : span.end], str(span.style)) for span in line.spans}
    assert {("a/**/b", "cyan"), ("c", "bold")} <= styles


def test_arguments() -> None:
    """One text argument is alone, several with their names, and long ones are cut."""
    assert format_arguments({"command": "ls\n-l"}) == "ls -l"
    assert format_arguments({"a": 1, "b": "x", "c": None}) == "a=1, b=x, c=null"
    assert format_arguments({"a": "x" * 200, "b": 1}) == f"a={'x' * 79}…, b=1"
    assert format_arguments({}) == ""
    assert format_arguments(["a"]) == '["a"]'


def test_excerpt() -> None:
    """A long output is cut, with the number of lines that are left out; one line more isn't worth a cut."""
    assert excerpt("a\nb\nc\n\n", 2) == excerpt("a\nb\nc", 2)
    assert (excerpt("a\nb\nc", 2).lines, excerpt("a\nb\nc", 2).more) == (("a", "b", "c"), 0)
    assert (excerpt("a\nb\nc\nd", 2).lines, excerpt("a\nb\nc\nd", 2).more) == (("a", "b"), 2)
    assert excerpt({"a": 1}, 2).lines == ('{"a": 1}',)
    assert excerpt(None, 2).lines == ("",)
    assert excerpt("x\n" * 100_000, 2).more == 99_998


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.99, "10 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7_800, "2 h 10 min")],
)
def test_duration(seconds: float, words: str) -> None:
    """Durations are as precise as they need to be."""
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("written", "shown"),
    [("0001-01-01T00:00:00+14:00", "0001-01-01 00:00"), ("9999-12-31T23:59:59-12:00", "9999-12-31 23:59")],
)
def test_times_that_no_other_zone_has(written: str, shown: str) -> None:
    """The first and the last time of all, which some services send for none, are shown as they are."""
    moment = datetime.fromisoformat(written)
    assert format_age(moment) == shown
    assert format_time(moment).startswith(f"{shown}:")
