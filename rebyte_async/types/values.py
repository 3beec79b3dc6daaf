"""What every value of the package can do: become JSON, and be shown on a line and in a notebook."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from functools import cache
from typing import Any, cast

import attrs

_LONGEST_SHOWN = 80
"""Characters of one field in a repr; a longer string is cut, and a longer collection counted."""
_NOTHING = object()


class Value:
    """The base of all models, events and outcomes.

    A field that the repr leaves out is a secret or a signed URL: it is in no JSON either.
    """

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the value as a JSON object: JSON's types alone, under the names that the API uses.

        Times are in ISO 8601, durations in seconds; NaN and Infinity are None. Secrets and signed URLs are left out.
        """
        document: dict[str, Any] = to_json_value(self)
        return document

    def to_json(self) -> str:
        """Return the value as a JSON document on one line, with the fields of `to_dict`."""
        return write_json(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    def _to_fields(self) -> Mapping[str, object]:
        """Return the fields for JSON, under the names that the API uses."""
        return {to_wire_name(name): value for name, value in self._show_fields()}

    def _show_fields(self) -> list[tuple[str, object]]:
        """Return the fields that may be shown, with their names in Python."""
        return [(item.name, getattr(self, item.name)) for item in attrs.fields(cast("Any", type(self))) if item.repr]

    def _find_set_fields(self) -> dict[str, object]:
        return {name: value for name, value in self._show_fields() if value is not None}

    def __repr__(self) -> str:
        shown = (f"{name}={_show(value)}" for name, value in self._find_set_fields().items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_html_(self) -> str:
        """Show the value in a notebook: a table with a row for each field that is set."""
        rows = "".join(f"<tr><th>{name}</th>{_to_cell(value)}</tr>" for name, value in self._find_set_fields().items())
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


def to_html_table(values: Sequence[Value], caption: str) -> str:
    """Show values as one HTML table, a row for each, without the columns that are empty in all of them."""
    rows = [value._find_set_fields() for value in values]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_to_cell(row.get(name)) for name in columns)}</tr>" for row in rows)
    return f"<table><caption>{_escape(caption)}</caption><tr>{head}</tr>{body}</table>"


@cache
def to_wire_name(name: str) -> str:
    """Return the name that the API uses for a field."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def to_json_value(value: object) -> Any:
    """Convert a value to JSON's types, however deeply it is nested. What JSON has no type for becomes a string."""
    top: list[Any] = [value]
    pending: list[Any] = [top]
    while pending:
        container = pending.pop()
        keys: Iterable[Any] = tuple(container) if hasattr(container, "keys") else range(len(container))
        for key in keys:
            container[key] = converted = _to_plain(container[key])
            if isinstance(converted, dict | list):
                pending.append(converted)
    return top[0]


def _to_plain(value: object) -> Any:
    """Convert a value to one of JSON's types; what a container holds isn't converted yet."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Value):
        value = value._to_fields()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list | set | frozenset):
        return list(cast("Sequence[object]", value))
    return _to_text(value)


def _to_text(value: object) -> str | float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) else str(value)  # a member of an enum is a plain string then


def write_json(document: object, **options: Any) -> str:
    """Write JSON's types as `json.dumps` does, with its options, but however deeply they are nested."""
    encoder = json.JSONEncoder(**options)
    try:
        return encoder.encode(document)
    except RecursionError:
        return "".join(_write_deep(document, encoder))


def _write_deep(document: object, encoder: json.JSONEncoder) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", document)]
    """Values that are to be written, the next one last, and what comes before each."""
    while pending:
        before, value = pending.pop()
        yield before
        if isinstance(value, dict) and value:
            fields = cast("dict[str, Any]", value)
            members = [(encoder.encode(name) + encoder.key_separator, inner) for name, inner in fields.items()]
            pending += _enclose("{", members, "}", encoder.item_separator)
        elif isinstance(value, list) and value:
            pending += _enclose("[", [("", inner) for inner in cast("Any", value)], "]", encoder.item_separator)
        elif value is not _NOTHING:
            yield encoder.encode(value)


def _enclose(start: str, members: Sequence[tuple[str, Any]], end: str, separator: str) -> list[tuple[str, Any]]:
    """Return a container's values for `_write_deep`."""
    (first, value), *rest = members
    later = [(separator + before, inner) for before, inner in rest]
    return [(end, _NOTHING), *reversed(later), (start + first, value)]


def _show(value: object) -> str:
    """Describe a field on one line."""
    match value:
        case Enum() if isinstance(value, str):
            return repr(str(value))
        case str() if len(value) > _LONGEST_SHOWN:
            return f"{value[:_LONGEST_SHOWN]!r}…"
        case date():
            return value.isoformat()
        case tuple() | list() | set() | frozenset() | Mapping():
            return _show_items(cast("Sequence[object]", value))
        case _:
            return repr(value)


def _show_items(items: Sequence[object]) -> str:
    try:
        shown = repr(items)
    except RecursionError:  # it is long then
        shown = ""
    return shown if 0 < len(shown) <= _LONGEST_SHOWN else f"<{len(items)} items>"


def _to_cell(value: object) -> str:
    text = "" if value is None else str(value) if isinstance(value, str) else _show(value)
    return f"<td>{_escape(text)}</td>"


def _escape(text: str) -> str:
    from html import escape  # noqa: PLC0415 - slow to import, and notebooks alone need it

    return escape(text)
