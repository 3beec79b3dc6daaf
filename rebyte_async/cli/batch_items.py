"""The items of `rebyte-async batch run`: a file with an item on each line, or the rows of a table."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial, wraps
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
from attrs import frozen

from rebyte_async.batch import BatchItem, parse_jsonl, read_jsonl
from rebyte_async.batch.rows import ItemMaker, make_items
from rebyte_async.batch.tables import FORMATS, TableFormat, check_delimiter, parse_table, read_table, table_format
from rebyte_async.cli.options import add_options, open_stdin
from rebyte_async.errors import ConfigurationError, InvalidRequestError
from rebyte_async.resources.options import CreateOptions

_TASK_OPTIONS = ("executor", "model")


@frozen
class ItemSource:
    """Where the items of a run come from."""

    open: Callable[[], Iterable[BatchItem] | AsyncIterable[BatchItem]]  # starts to read them
    count: Callable[[], int | None]
    """Counts the items, where that is possible. The rows of a file are checked by it, before anything costs money."""


def item_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add ITEMS' options for rows; the command gets `source` in their place."""

    @wraps(command)
    def with_source(
        *,
        items: Path,
        prompt: str | None,
        key: str | None,
        columns: tuple[str, ...],
        delimiter: str | None,
        form: TableFormat | None,
        **given: Any,
    ) -> int:
        task = {name: value for name in _TASK_OPTIONS if (value := given.pop(name)) is not None}
        stdin = open_stdin() if str(items) == "-" else None
        if prompt is None or key is None:
            if prompt is not None or key is not None or columns or delimiter or form or task:
                raise click.UsageError("for rows, give both --prompt and --key; a line of items says all by itself")
            source = _open_lines(items, stdin)
        else:
            try:
                maker = ItemMaker(prompt=prompt, key=key, metadata=columns or None, options=cast("CreateOptions", task))
                source = _open_rows(items, stdin, form, delimiter, maker)
            except (InvalidRequestError, ConfigurationError) as error:
                raise click.UsageError(error.message) from error
        return command(items=None if stdin else items, source=source, **given)

    return add_options(
        click.option("--prompt", metavar="TEXT", help="For rows: what to do, with {column} for the value of a column."),
        click.option("--key", metavar="COLUMN", help="For rows: the column that identifies each."),
        click.option(
            "--metadata",
            "columns",
            multiple=True,
            metavar="COLUMN",
            help="For rows: a column to keep with the outcomes; may be repeated. All but the key if not given.",
        ),
        click.option(
            "--format", "form", type=click.Choice(FORMATS), help="For rows: by the name of ITEMS if not given."
        ),
        click.option("--delimiter", metavar="CHARACTER", help="For rows of CSV: what separates cells, if no comma."),
        click.option("--executor", help="For rows: the coding agent of all of them."),
        click.option("--model", help="For rows: the model that the agent uses."),
    )(with_source)


def _open_lines(items: Path, stdin: BinaryIO | None) -> ItemSource:
    if stdin is not None:
        return ItemSource(partial(parse_jsonl, stdin, name="stdin"), lambda: None)
    if items.suffix.lower() in {".csv", ".tsv"}:
        raise click.UsageError(
            f"{items} has rows: say with --prompt what to do, such as 'Classify: {{text}}', and with --key which "
            "column identifies a row"
        )
    return ItemSource(partial(read_jsonl, items), partial(_count_lines, items))


def _open_rows(
    items: Path, stdin: BinaryIO | None, form: TableFormat | None, delimiter: str | None, maker: ItemMaker
) -> ItemSource:
    if stdin is not None and form is None:
        raise click.UsageError("say with --format how the rows of stdin are written")
    chosen = form or table_format(items)
    between = "\t" if delimiter == "\\t" else delimiter  # a shell has no short way to write a tab
    separator = check_delimiter(between, chosen)
    if stdin is not None:
        return ItemSource(lambda: make_items(parse_table(stdin, chosen, separator, name="stdin"), maker), lambda: None)

    def read() -> Iterable[BatchItem]:
        return make_items(read_table(items, chosen, separator), maker)

    return ItemSource(read, lambda: sum(1 for _ in read()) if _is_regular(items) else None)


def _count_lines(path: Path) -> int | None:
    if not _is_regular(path):
        return None
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _is_regular(path: Path) -> bool:
    """Return whether a file can be read twice, as a pipe can't."""
    return stat.S_ISREG(path.stat().st_mode)
