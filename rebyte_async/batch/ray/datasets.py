"""Datasets of Ray: the rows of one become items, and outcomes become the rows of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Collection, Generator, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol, Unpack

from rebyte_async.batch.exports import FIELDS, name_columns
from rebyte_async.batch.inputs import check_items, open_reader
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.ray.settings import import_ray
from rebyte_async.batch.rows import RowText, items_from_rows
from rebyte_async.errors import ConfigurationError, InvalidRequestError
from rebyte_async.resources.options import CreateOptions
from rebyte_async.types.values import to_json_value, write_json

_ROWS_PER_BLOCK = 5_000
_LARGEST = 1 << 63


class RowSource(Protocol):
    """What `ray.data.Dataset` has that is needed here."""

    def iter_rows(self) -> Iterable[Mapping[str, Any]]:
        """Iterate over the rows, as mappings of columns to values."""
        ...


def items_from_dataset(
    dataset: RowSource,
    *,
    prompt: RowText,
    key: RowText,
    metadata: Collection[str] | None = None,
    **options: Unpack[CreateOptions],
) -> Generator[BatchItem]:
    """Make an item of each row of a `ray.data.Dataset`, lazily, as `items_from_rows` does.

        tickets = ray.data.read_parquet("s3://tickets/")
        items_from_dataset(tickets, prompt="Classify this ticket: {text}", key="id")

    Args:
        dataset: The dataset. It is read as the items are.
        prompt: The prompt: a text with `{column}` where the value of a column belongs, or a function of the row.
        key: What identifies a row: the name of a column, or a function of the row. Its values must differ.
        metadata: The names of the columns to keep as metadata; None for all but that of the key.
        **options: What `client.tasks.create` takes besides, the same for all items.

    Returns:
        A generator of the items. While it is read, it raises BatchError where a row has no such column, or no key.

    Raises:
        InvalidRequestError: The prompt is no template, or an argument can't be right.
    """
    if not callable(getattr(dataset, "iter_rows", None)):
        raise InvalidRequestError(f"dataset must be a ray.data.Dataset, not {type(dataset).__name__}")
    rows = ({name: _to_python(value) for name, value in row.items()} for row in dataset.iter_rows())
    return items_from_rows(rows, prompt=prompt, key=key, metadata=metadata, **options)


def _to_python(value: Any) -> Any:
    """Convert a value of NumPy or pandas; one that is missing there is None."""
    if callable(convert := getattr(value, "tolist", None)):
        value = convert()
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - it isn't a number


async def dataset_from_outcomes(outcomes: Iterable[BatchOutcome] | AsyncIterable[BatchOutcome]) -> Any:
    """Make a `ray.data.Dataset` with a row for each outcome.

        dataset = await dataset_from_outcomes(RayBatch(items, journal=journal, workers=8))
        dataset.write_parquet("s3://answers/")

    There is a column for each field of `BatchOutcome`, then one for each name in the metadata: under that name, or as
    `metadata.NAME` where a field has it. Such a column has numbers or truth values if all of its values are such, and
    else texts, which are JSON for what is no text. Rows are put into Ray's object store as they come.

    Args:
        outcomes: The outcomes: a run that is read to its end, or any other iterable.

    Returns:
        The dataset.

    Raises:
        ConfigurationError: Ray, or what its datasets need, isn't installed: `pip install 'ray[data]'`.
        InvalidRequestError: `outcomes` can't be iterated over, or has something else.
        Exception: What iterating over the outcomes raises.
    """
    data, arrow = await asyncio.to_thread(_import_data)
    check_items(outcomes)
    schema = _make_schema(arrow)
    reader = open_reader(outcomes)  # type: ignore[arg-type] # it reads anything
    columns: dict[str, set[str]] = {}
    blocks: list[Any] = []
    rows: list[dict[str, Any]] = []
    try:
        while given := await reader.read(_ROWS_PER_BLOCK):
            rows += [_to_row(outcome, columns) for outcome in given]
            if len(rows) >= _ROWS_PER_BLOCK:
                blocks.append(await asyncio.to_thread(_put, rows, schema))
                rows = []
    finally:
        await reader.close()
    if rows or not blocks:
        blocks.append(await asyncio.to_thread(_put, rows, schema))
    types = {
        name: (column, _choose_type(columns[name])) for name, column in zip(columns, name_columns(columns), strict=True)
    }

    def make() -> Any:  # which waits for Ray
        return data.from_arrow_refs(blocks).map_batches(partial(_spread_metadata, types), batch_format="pyarrow")

    return await asyncio.to_thread(make)


def _import_data() -> tuple[Any, Any]:
    import_ray()
    try:
        return import_module("ray.data"), import_module("pyarrow")
    except ImportError as error:
        raise ConfigurationError(f"{error}; datasets of Ray need more: pip install 'ray[data]'") from error


def _make_schema(arrow: Any) -> Any:
    time = arrow.timestamp("us", "UTC")
    types = {"attempts": arrow.int64(), "started_at": time, "ended_at": time}
    return arrow.schema([(name, types.get(name, arrow.string())) for name in (*FIELDS, "metadata")])


def _to_row(outcome: object, columns: dict[str, set[str]]) -> dict[str, Any]:
    """Return a row with the metadata as JSON, and note the types of its values."""
    if not isinstance(outcome, BatchOutcome):
        raise InvalidRequestError(f"outcomes must be BatchOutcomes, not {type(outcome).__name__}")
    metadata = to_json_value(outcome.metadata)
    for name, value in metadata.items():
        columns.setdefault(name, set()).add(_type_of(value))
    return {**{name: getattr(outcome, name) for name in FIELDS}, "metadata": write_json(metadata)}


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() if -_LARGEST <= value < _LARGEST:
            return "int64"
        case float():
            return "float64"
        case _:
            return "string"


def _choose_type(types: set[str]) -> str:
    """Return the type of a column in which values have several."""
    match sorted(types - {"null"}):
        case [one]:
            return one
        case ["float64", "int64"]:
            return "float64"
        case _:
            return "string"


def _put(rows: list[dict[str, Any]], schema: Any) -> Any:
    return import_ray().put(import_module("pyarrow").Table.from_pylist(rows, schema=schema))


def _spread_metadata(types: Mapping[str, tuple[str, str]], block: Any) -> Any:
    """Give each name in the metadata a column. Ray calls this on its machines."""
    arrow = import_module("pyarrow")
    documents = [json.loads(text) for text in block.column("metadata").to_pylist()]
    block = block.drop_columns(["metadata"])
    for name, (column, kind) in types.items():
        values = [_to_cell(document.get(name), kind) for document in documents]
        block = block.append_column(column, arrow.array(values, kind))
    return block


def _to_cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else write_json(value)
    return float(value) if kind == "float64" else value
