"""Outcomes as tables for others: CSV that no spreadsheet takes for formulas, and JSON lines."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from attrs import fields

from rebyte_async._atomic import write_file
from rebyte_async.batch.journal.reader import JournalReader
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.errors import ConfigurationError
from rebyte_async.types.values import to_json_value, write_json

__all__ = ["write_outcomes"]

ExportFormat: TypeAlias = Literal["csv", "jsonl"]
FIELDS = tuple(each.name for each in fields(BatchOutcome) if each.name != "metadata")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet may take for a formula (OWASP, CSV injection), or that looks guarded already."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def write_outcomes(
    reader: JournalReader,
    path: str | os.PathLike[str],
    *,
    form: ExportFormat | None = None,
    statuses: Collection[str] | None = None,
    guard_formulas: bool = True,
) -> int:
    """Write the outcomes that a journal has as CSV or JSON lines, in the order in which the items were accepted.

    A CSV has a column for each field of `BatchOutcome`, then one for each name in the metadata: under that name, or as
    `metadata.NAME` where a field has it. What is None is empty there, and a list or an object is JSON.

    A text that begins as a formula does (`=`, `+`, `-`, `@`, a tab or a line end) gets a `'` in front, unless it is a
    number. So does a text that has such a `'` already: removing one `'` before `'` or these characters gives every text
    back.

    Args:
        reader: The journal; its run may be under way.
        path: The file to write, whole or not at all. A file that exists is replaced.
        form: `csv` or `jsonl`; None for that which the file's name ends in.
        statuses: Only items that ended with one of these; None for all that have ended.
        guard_formulas: Whether texts in a CSV are guarded. Without it they are as agents wrote them.

    Returns:
        How many outcomes were written.

    Raises:
        ConfigurationError: The form is unknown, or the file's name doesn't say it.
        JournalError: The journal can't be read.
        OSError: The file can't be written.
    """
    chosen = form or Path(path).suffix.lower().removeprefix(".")
    if chosen not in get_args(ExportFormat):
        raise ConfigurationError(f"form must be 'csv' or 'jsonl', not {chosen!r:.80}: give it, or such a file name")
    lines = format_outcomes(reader, form=chosen, statuses=statuses, guard_formulas=guard_formulas)
    return write_lines(Path(path), lines) - (chosen == "csv")


def format_outcomes(
    reader: JournalReader, *, form: str, statuses: Collection[str] | None, guard_formulas: bool
) -> Iterator[str]:
    """Yield the lines of `write_outcomes`; those of a CSV are its heading, and one for each outcome."""
    if form == "jsonl":
        yield from to_jsonl(_outcomes(reader, statuses))
        return
    with reader.snapshot():  # the heading has to be that of the rows
        names = dict.fromkeys(name for outcome in _outcomes(reader, statuses) for name in outcome.metadata)
        yield _to_line([*FIELDS, *name_columns(names)], guard=guard_formulas)
        for outcome in _outcomes(reader, statuses):
            document = to_document(outcome)
            metadata = document["metadata"]
            cells = [*(document[name] for name in FIELDS), *(metadata.get(name) for name in names)]
            yield _to_line(cells, guard=guard_formulas)


def _outcomes(reader: JournalReader, statuses: Collection[str] | None) -> Iterator[BatchOutcome]:
    items = reader.items(statuses=statuses)
    return (outcome for item in items if (outcome := item.outcome) is not None)


def name_columns(names: Iterable[str]) -> list[str]:
    """Return names for columns of metadata that differ from those of the fields, and from each other."""
    taken = {*FIELDS, *names}
    columns: list[str] = []
    for name in names:
        column = name
        while name in FIELDS and column in taken:
            column = f"metadata.{column}"
        taken.add(column)
        columns.append(column)
    return columns


def _to_line(cells: Iterable[object], *, guard: bool) -> str:
    line = io.StringIO(newline="")
    # Old versions of Python quote a lone CR only where it is in the line's end.
    csv.writer(line, lineterminator="\r\n").writerow([_to_cell(cell, guard=guard) for cell in cells])
    return line.getvalue().removesuffix("\r\n") + "\n"


def _to_cell(value: object, *, guard: bool) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return write_json(value, ensure_ascii=False)
    return guard_cell(value) if guard else value


def guard_cell(text: str) -> str:
    """Put a `'` before a text that a spreadsheet may take for a formula; no two texts become the same."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def to_document(outcome: BatchOutcome) -> dict[str, Any]:
    """Return an outcome as JSON's types, under the names of its fields."""
    document: Mapping[str, Any] = {name: getattr(outcome, name) for name in (*FIELDS, "metadata")}
    converted: dict[str, Any] = to_json_value(document)
    return converted


def to_jsonl(outcomes: Iterable[BatchOutcome]) -> Iterator[str]:
    """Write each outcome as one line of JSON, in ASCII alone: whatever a terminal would obey is escaped."""
    for outcome in outcomes:
        yield write_json(to_document(outcome)) + "\n"


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write a file whole or not at all, and return how many lines were given."""
    count = 0

    def encode() -> Iterator[bytes]:
        nonlocal count
        for line in lines:
            count += 1
            yield line.encode(errors="replace")

    write_file(path, encode())
    return count
