"""Items made of rows: a prompt by a template of their columns, a key, and the other columns as metadata."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Generator, Iterable, Mapping
from contextlib import closing
from datetime import date
from inspect import isawaitable
from string import Formatter
from typing import Any, TypeAlias, Unpack, cast, overload
from uuid import UUID

from attrs import field, frozen

from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.tables import Row, check_delimiter, check_row, describe_columns, read_table, table_format
from rebyte_async.errors import BatchError, InvalidRequestError
from rebyte_async.resources.options import CreateOptions
from rebyte_async.types.values import to_json_value

RowText: TypeAlias = str | Callable[[Mapping[str, Any]], str]
Rows: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]


@frozen
class PromptTemplate:
    """A text with `{column}` where the value of a column belongs; `{{` and `}}` are braces.

    A name is looked up as it is written: nothing of a value but its text can get into a prompt.
    """

    parts: tuple[tuple[str, str | None], ...]
    """Literal texts, each with the column that follows it; None after the last text."""

    @classmethod
    def parse(cls, template: str) -> PromptTemplate:
        """Read a template; raise InvalidRequestError if it isn't one."""
        try:
            parts = list(Formatter().parse(template))
        except ValueError as error:
            raise _refuse(template, str(error).lower()) from error
        for _, column, form, conversion in parts:
            if column == "" or form or conversion:
                given = f"{column}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
                raise _refuse(template, f"{{{given:.80}}} is no column's name alone")
        if all(column is None for _, column, _, _ in parts):
            raise _refuse(template, "it names no column, so that all rows would have the same prompt")
        return cls(tuple((literal, column) for literal, column, _, _ in parts))

    def fill(self, row: Row) -> str:
        """Return the text for a row."""
        return "".join(
            literal + ("" if column is None else _to_text(_look_up(row, column, "the prompt")))
            for literal, column in self.parts
        )


def _refuse(template: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"prompt must be a text with {{column}} in it, not {template!r:.80}: {why}; write {{{{ and }}}} for braces"
    )


def _look_up(row: Row, column: str, use: str) -> Any:
    try:
        return row.columns[column]
    except KeyError:
        known = describe_columns(row.columns)
        raise BatchError(f"{row.where}: there is no column {column!r:.80} for {use}; {known}") from None


def _to_text(value: object) -> str:
    plain = to_json_value(value)
    if plain is None or isinstance(plain, str):
        return plain or ""
    return json.dumps(plain, ensure_ascii=False)


def _to_template(prompt: RowText) -> PromptTemplate | Callable[[Mapping[str, Any]], str]:
    if isinstance(prompt, str):
        return PromptTemplate.parse(prompt)
    if not callable(prompt):
        raise InvalidRequestError(f"prompt must be a text or a function of a row, not {type(prompt).__name__}")
    return prompt


def _check_key(key: Any) -> RowText:
    if not callable(key) and not (isinstance(key, str) and key):
        raise InvalidRequestError(f"key must be the name of a column or a function of a row, not {key!r:.80}")
    return cast("RowText", key)


def _check_columns(columns: Any) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Collection):
        raise InvalidRequestError(f"metadata must be the names of columns, such as ['label'], not {columns!r:.80}")
    return tuple(str(column) for column in cast("Collection[object]", columns))


@frozen(kw_only=True)
class ItemMaker:
    """Makes the items of rows. `items_from_rows` describes its fields."""

    prompt: Any = field(converter=_to_template)  # pyright: ignore[reportUnknownVariableType]
    key: RowText = field(converter=_check_key)
    metadata: tuple[str, ...] | None = field(default=None, converter=_check_columns)
    options: CreateOptions = field(factory=CreateOptions)

    def make(self, row: Row) -> BatchItem:
        """Make the item of a row; raise BatchError, with the row's place, if it can't be one."""
        try:
            key, prompt = self._make_key(row), self._make_prompt(row)
            return BatchItem(key, prompt, metadata=self._metadata(row), origin=row.where, **self.options)
        except InvalidRequestError as error:
            raise BatchError(f"{row.where}: {error.message}") from error

    def _make_key(self, row: Row) -> str:
        is_column = isinstance(self.key, str)
        value = _look_up(row, self.key, "the key") if isinstance(self.key, str) else _call(self.key, row)
        of = f" in the column {self.key!r:.80}" if is_column else ""
        if value is None or (isinstance(value, str) and not value.strip()):
            raise BatchError(f"{row.where}: the key{of} is empty: each row needs one of its own")
        if isinstance(value, bool) or not isinstance(value, str | int | date | UUID):
            raise BatchError(f"{row.where}: the key{of} must be a text or a whole number, not {value!r:.80}")
        return str(value)

    def _make_prompt(self, row: Row) -> str:
        return self.prompt.fill(row) if isinstance(self.prompt, PromptTemplate) else _call(self.prompt, row)

    def _metadata(self, row: Row) -> dict[str, Any]:
        if self.metadata is None:
            names: Iterable[str] = (name for name in row.columns if name != self.key)
            return {name: to_json_value(row.columns[name]) for name in names}
        return {name: to_json_value(_look_up(row, name, "the metadata")) for name in self.metadata}


def _call(function: Callable[[Mapping[str, Any]], Any], row: Row) -> Any:
    try:
        return function(row.columns)
    except Exception as error:
        error.add_note(f"while an item was made of {row.where}")
        raise


@overload
def items_from_rows(
    rows: AsyncIterable[Mapping[str, Any]],
    *,
    prompt: RowText,
    key: RowText,
    metadata: Collection[str] | None = None,
    **options: Unpack[CreateOptions],
) -> AsyncGenerator[BatchItem]: ...
@overload
def items_from_rows(
    rows: Rows,
    *,
    prompt: RowText,
    key: RowText,
    metadata: Collection[str] | None = None,
    delimiter: str | None = None,
    **options: Unpack[CreateOptions],
) -> Generator[BatchItem]: ...
def items_from_rows(
    rows: Rows | AsyncIterable[Mapping[str, Any]],
    *,
    prompt: RowText,
    key: RowText,
    metadata: Collection[str] | None = None,
    delimiter: str | None = None,
    **options: Unpack[CreateOptions],
) -> Generator[BatchItem] | AsyncGenerator[BatchItem]:
    """Make an item of each row of a table, lazily.

        items_from_rows("tickets.csv", prompt="Classify this ticket: {text}", key="id")

    Args:
        rows: The path of a `.csv`, `.tsv` or `.jsonl` file in UTF-8, or any iterable, sync or async, of mappings of
            columns to values. A CSV has the names of its columns in the first line.
        prompt: The prompt: a text with `{column}`, once or more, where the value of a column belongs (`{{` and `}}` are
            braces), or a function of the row. A value that is missing is an empty text, and one that is no text is
            written as JSON.
        key: What identifies a row: the name of a column, or a function of the row. Its values must differ.
        metadata: The names of the columns to keep as metadata; None for all but that of the key.
        delimiter: What separates the cells of a CSV; None for a comma, or a tab in a `.tsv`.
        **options: What `client.tasks.create` takes besides, the same for all items.

    Returns:
        A generator of the items: an async one if the rows are async. While it is read, it raises BatchError, with the
        place of the row, where a file can't be read, a row is none or has no such column, or its key is empty.

    Raises:
        InvalidRequestError: The prompt is no template, or an argument can't be right.
        ConfigurationError: The name of a file doesn't say how it is written, or the delimiter can't be one.
    """
    maker = ItemMaker(prompt=prompt, key=key, metadata=metadata, options=options)
    if isinstance(rows, str | os.PathLike):
        form = table_format(rows)
        return make_items(read_table(rows, form, check_delimiter(delimiter, form)), maker)
    if delimiter is not None:
        raise InvalidRequestError("delimiter is for files of CSV: these rows are mappings")
    if isinstance(rows, AsyncIterable):
        return _make_async(rows, maker)
    given = cast("object", rows)
    if isinstance(given, Mapping | bytes) or not isinstance(given, Iterable):
        raise InvalidRequestError(f"rows must be a path or an iterable of mappings, not {type(rows).__name__}")
    return make_items((_to_row(row, number) for number, row in enumerate(rows, 1)), maker)


def make_items(rows: Generator[Row], maker: ItemMaker) -> Generator[BatchItem]:
    """Yield the items of rows, which are closed with them."""
    with closing(rows):
        for row in rows:
            yield maker.make(row)


async def _make_async(rows: AsyncIterable[Mapping[str, Any]], maker: ItemMaker) -> AsyncGenerator[BatchItem]:
    number = 0
    try:
        async for row in rows:
            number += 1
            yield maker.make(_to_row(row, number))
    finally:
        if (close := getattr(rows, "aclose", None)) is not None and isawaitable(closing := close()):
            await closing


def _to_row(row: object, number: int) -> Row:
    return Row(where := f"row {number}", check_row(row, where))
