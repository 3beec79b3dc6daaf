"""Which part of an artifact a request wants.

*Source*: RFC 9110, section 14.
"""

from __future__ import annotations

import re

from attrs import frozen

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(Exception):  # noqa: N818 - it is an answer and no failure of the emulator
    """No byte is in the range that was asked for."""


@frozen
class Span:
    """The bytes from `start` up to but without `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.end - self.start


def span_of(header: str | None, size: int) -> Span | None:
    """The span that a `Range` header asks for.

    Returns:
        The span; None for the whole: a header that isn't there, isn't understood or asks for several spans is as if it
        weren't there.

    Raises:
        Unsatisfiable: There is no such byte.
    """
    match = None if header is None else _RANGE.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    span = _span(match[1], match[2], size)
    if span.start >= size or span.size <= 0:
        raise Unsatisfiable
    return span


def _span(first: str, last: str, size: int) -> Span:
    if not first:
        return Span(max(0, size - int(last)), size)
    return Span(int(first), min(size, int(last) + 1) if last else size)
