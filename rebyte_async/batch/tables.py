"""Tables as data teams have them: the rows of CSV, TSV and JSON lines, read lazily, each with its line for errors."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import chain
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, cast, get_args

from attrs import frozen

from rebyte_async._wire import json
from rebyte_async.errors import BatchError, ConfigurationError

TableFormat: TypeAlias = Literal["csv", "tsv", "jsonl"]
FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
"""What a byte that isn't UTF-8 becomes with `surrogateescape`."""
_DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(r'"?sep=([^"\r\n])"?\s*', re.IGNORECASE)
"""A first line by which programs say to Excel what separates cells."""
_AS_UTF_8 = "save the file as UTF-8 (in Excel: 'CSV UTF-8')"
_SPREADSHEETS = {"xls", "xlsx", "ods"}


@frozen
class Row:
    """One row of a table."""

    where: str
    """Where it was read, such as `rows.csv, line 17`."""
    columns: Mapping[str, Any]
    """The values by the names of their columns; those of CSV are strings."""


def table_format(path: str | os.PathLike[str]) -> TableFormat:
    """Return the format that the name of a file says; raise ConfigurationError where it says none."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    for form in FORMATS:
        if suffix in (form, "ndjson" if form == "jsonl" else form):
            return form
    first = ": save the spreadsheet as CSV first" if suffix in _SPREADSHEETS else ""
    endings = "its name must end in .csv, .tsv or .jsonl"
    raise ConfigurationError(f"can't tell how {os.fspath(path)} is written: {endings}{first}")


def check_delimiter(delimiter: object, form: TableFormat | None) -> str:
    """Return the delimiter of a table: the given one, or the usual one of its format."""
    if delimiter is None:
        return "\t" if form == "tsv" else ","
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n\0"':
        raise ConfigurationError(f"delimiter must be one character, such as ';', not {delimiter!r:.80}")
    if form == "jsonl":
        raise ConfigurationError("JSON lines have no delimiter: it is for CSV")
    return delimiter


def read_table(path: str | os.PathLike[str], form: TableFormat, delimiter: str) -> Generator[Row]:
    """Read the rows of a file, as `parse_table` does; it is closed with the generator."""
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - it is closed below
    except (OSError, ValueError) as error:
        raise BatchError(f"can't read {os.fspath(path)}: {getattr(error, 'strerror', None) or error}") from error
    with file:
        yield from parse_table(file, form, delimiter, name=os.fspath(path))


def parse_table(file: BinaryIO, form: TableFormat, delimiter: str, *, name: str) -> Generator[Row]:
    """Read rows as they come, a line in memory at a time; the file stays open.

    A byte order mark and empty lines are skipped.

    Raises:
        BatchError: A line isn't UTF-8, has a NUL character, or is no row; the error names it.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _check_lines(text, name)
    try:
        yield from _parse_objects(lines, name) if form == "jsonl" else _parse_cells(lines, delimiter, name)
    finally:
        text.detach()


def _check_lines(lines: Iterable[str], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise BatchError(
                f"{name}, line {number}: it has a NUL character: this is no text, or not UTF-8: {_AS_UTF_8}"
            )
        if not line.isascii() and (found := _ESCAPED_BYTE.search(line)) is not None:
            wrong = f"0x{ord(found[0]) - 0xDC00:02x} after {line[: found.start()][-20:]!r}"
            raise BatchError(f"{name}, line {number}: this isn't UTF-8 ({wrong}): {_AS_UTF_8}")
        yield line


def _parse_objects(lines: Iterable[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            document = json.loads(line)
        except ValueError as error:
            raise BatchError(f"{where}: this is no JSON object: {describe_json_error(error)}") from error
        yield Row(where, check_row(document, where))


def describe_json_error(error: ValueError) -> str:
    """Say what is wrong with a line of JSON, without its number among the lines of itself."""
    return f"{error.msg}, in column {error.colno}" if isinstance(error, JSONDecodeError) else str(error)


def check_row(row: object, where: str) -> Mapping[str, Any]:
    """Return a row of the application or of JSON, if it is a mapping of columns."""
    if not isinstance(row, Mapping):
        raise BatchError(f"{where}: a row must be a mapping of columns to values, not {type(row).__name__}")
    for name in cast("Mapping[object, Any]", row):
        if not isinstance(name, str):
            raise BatchError(f"{where}: columns must have names that are strings, not {name!r:.80}")
    return cast("Mapping[str, Any]", row)


def _parse_cells(lines: Iterator[str], delimiter: str, name: str) -> Iterator[Row]:
    start = next(lines, "")
    if (declared := _SEPARATOR.fullmatch(start)) is not None:
        delimiter, start = declared[1], "\n"  # an empty line, which is skipped, and counted
    rows = _split_cells(chain([start], lines), delimiter, name)
    first, names = next(rows, (1, list[str]()))
    if not names:
        raise BatchError(f"{name} is empty: its first line must name the columns")
    if repeated := [column for number, column in enumerate(names) if column in names[:number]]:
        raise BatchError(f"{name}, line {first}: two columns have the name {repeated[0]!r:.80}: rename one of them")
    for number, cells in rows:
        if len(cells) != len(names):
            have = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}, and there are {len(names)} columns"
            raise BatchError(f"{name}, line {number}: the row has {have}: quote cells that have a {delimiter!r}")
        yield Row(f"{name}, line {number}", dict(zip(names, cells, strict=True)))


def _split_cells(lines: Iterator[str], delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that isn't empty, with the number of the line that it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BatchError(f"{name}, line {number}: {_describe_csv_error(str(error))}") from error
        if cells is None:
            return
        if cells:
            yield number, cells


def _describe_csv_error(message: str) -> str:
    if message == "unexpected end of data":
        return "a quote that this row opens is never closed"
    if message.startswith("field larger"):
        limit = f"a cell of this row has more than {csv.field_size_limit():,} characters"
        return f"{limit}: is a quote not closed? Python's csv.field_size_limit raises the limit"
    return f'this is no row of a table: {message}; a quote within quotes is written ""'


def describe_columns(columns: Iterable[str]) -> str:
    """List the columns of a row for an error, with a hint where they look like one text with another delimiter."""
    names = list(columns)
    listed = ", ".join(repr(name) for name in names) or "none"
    between = next((character for character in _DELIMITERS if len(names) == 1 and character in names[0]), None)
    hint = "" if between is None else f"; if these are several, give the delimiter of the file, {between!r}"
    return f"the columns are {listed}{hint}" if len(names) != 1 else f"the only column is {listed}{hint}"
