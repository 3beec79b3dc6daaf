"""Long things in short: arguments, outputs, durations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from attrs import frozen

from rebyte_async.cli.view.clean import clean, one_line

__all__ = ["Folded", "arguments", "duration", "folded"]

_LONGEST_VALUE = 80
_LONGEST_OUTPUT = 100_000
"""Characters of an output that are looked at: more can't be shown anyway, and cleaning them would take time."""
_MINUTE = 60
_HOUR = 3600


@frozen
class Folded:
    """The beginning of a text."""

    lines: tuple[str, ...]
    """The lines to show."""
    more: int
    """How many there are beyond."""


def arguments(given: object) -> str:
    """A tool's arguments on one line: a single one as it is, several with their names."""
    if not _is_object(given):
        return _value(given)
    items = list(given.items())
    if len(items) == 1 and isinstance(items[0][1], str):
        return one_line(items[0][1])
    return one_line(", ".join(f"{name}={_value(value)}" for name, value in items))


def folded(output: object, limit: int) -> Folded:
    """The first lines of a tool's output.

    Args:
        output: What the tool said.
        limit: How many lines may be shown; one line more is shown rather than counted.
    """
    text = output if isinstance(output, str) else "" if output is None else _json(output)
    beyond = text[_LONGEST_OUTPUT:].rstrip()
    head = clean(text[:_LONGEST_OUTPUT]).lstrip("\n")
    lines = (head if beyond else head.rstrip()).split("\n")
    keep = len(lines) if len(lines) <= limit + 1 else limit
    return Folded(tuple(lines[:keep]), len(lines) - keep + beyond.count("\n"))


def duration(seconds: float) -> str:
    """A duration in words: `0.8 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - tenths don't matter beyond
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _value(value: object) -> str:
    return one_line(value if isinstance(value, str) else _json(value), _LONGEST_VALUE)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
