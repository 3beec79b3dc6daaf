"""The journal that a command of `rebyte-async batch` is given: a file, or a batch in a PostgreSQL database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from rebyte_async.batch import PostgresJournal
from rebyte_async.cli.options import ANY_FILE, add_options
from rebyte_async.errors import ConfigurationError

JournalPlace: TypeAlias = Path | PostgresJournal
_URI = re.compile(r"postgres(ql)?://")
_PASSWORD = re.compile(r"(?<=://)([^/?#]*?):[^/?#]*@|(?<=[?&])(password)=[^&]*")
"""A password in the URI of a database: that of its user, or that in its query."""


class _Place(click.Path):
    """The path of a file, or the URI of a database, which is left as it is."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and _URI.match(value) else ANY_FILE.convert(value, param, ctx)


def takes_journal(*, option: str | None = None, only_databases: bool = False) -> Callable[[Any], Any]:
    """Return a decorator that adds JOURNAL, or an option for it, and `--batch`; the command gets `journal`."""
    metavar = "URI" if only_databases else "JOURNAL"

    def add(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_journal(*, place: Path | str, batch: str | None, **given: Any) -> int:
            return command(journal=_make_journal(place, batch, only_databases=only_databases), **given)

        where = (
            click.argument("place", type=_Place(), metavar=metavar)
            if option is None
            else click.option("--journal", "place", required=True, type=_Place(), metavar=metavar, help=option)
        )
        named = click.option("--batch", metavar="NAME", help="The batch, where the journal is in a database.")
        return add_options(where, named)(with_journal)

    return add


def _make_journal(place: Path | str, batch: str | None, *, only_databases: bool) -> JournalPlace:
    if isinstance(place, str):
        if batch is None:
            raise click.UsageError("a database has the journals of many batches: name one with --batch")
        try:
            return PostgresJournal(place, batch=batch)
        except ConfigurationError as error:
            raise click.UsageError(error.message) from error
    if only_databases:
        raise click.UsageError(
            "workers share a journal in a database: give its URI, such as postgresql://host/database"
        )
    if batch is not None:
        raise click.UsageError("--batch is for a journal in a database: a file has one batch")
    return place


def to_arguments(journal: JournalPlace) -> list[str]:
    """Return how a command is given the journal."""
    if isinstance(journal, PostgresJournal):
        return [journal.dsn, "--batch", journal.batch]
    return [str(journal)]


def hide_passwords(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments of a command as they may be shown."""
    for argument in arguments:
        yield _PASSWORD.sub(_hide, argument) if "://" in argument else argument


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}:…@" if found[2] is None else f"{found[2]}=…"
