"""`rebyte-async batch status`, `export` and `report`: read a journal, also while its run continues."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from rebyte_async._terminal import sanitize
from rebyte_async.batch import JournalReader, read_journal, write_report
from rebyte_async.batch.exports import ExportFormat, format_outcomes, write_outcomes
from rebyte_async.batch.journal import journal_files
from rebyte_async.cli.batch_journal import JournalPlace, takes_journal
from rebyte_async.cli.exits import Exit, report_error
from rebyte_async.cli.options import ANY_FILE, json_option
from rebyte_async.cli.outcome_file import part_of
from rebyte_async.cli.view import show_busy
from rebyte_async.cli.view.output import show_record
from rebyte_async.cli.view.text import format_size
from rebyte_async.errors import ConfigurationError, RebyteError

journal_argument: Callable[[Any], Any] = takes_journal()
_STATUSES = ("completed", "failed", "canceled", "error", "ambiguous")

_EXPORT_EPILOG = """\b
Examples:
  rebyte-async batch export run.sqlite3 > outcomes.jsonl
  rebyte-async batch export run.sqlite3 -o outcomes.csv
  rebyte-async batch export run.sqlite3 --status failed --status error | jq -r .error

A CSV has a column for each field of an outcome, then one for each name in the metadata. A text in it that begins as a
formula does, with one of = + - @, gets a ' in front, unless it is a number; --no-guard leaves all texts as they are.
"""

_REPORT_EPILOG = """\b
Example:
  rebyte-async batch report run.sqlite3 --html report.html

The page needs no network: it can be kept, and sent to others. Everyone who opens it can read prompts and final results.
It needs an extra:  pip install 'rebyte-async[report]'
"""


@frozen(kw_only=True)
class BatchSummary:
    """How far a batch is, as `batch status` shows it."""

    journal: str
    run: str | None  # the state of the last run: `under way`, `ended`, or `broken off`
    items: int
    given: int | None  # how many items the file of the last run had, with those that weren't taken yet
    completed: int
    failed: int
    canceled: int
    error: int
    ambiguous: int
    running: int
    creating: int
    waiting: int
    batch_id: str
    base_url: str
    created_at: datetime | None
    first_started_at: datetime | None
    last_ended_at: datetime | None


def require_distinct(journal: JournalPlace, *, out: Path | None = None, items: Path | None = None) -> None:
    """Refuse to write one of a command's files over another."""
    taken = set(journal_files(journal.resolve())) if isinstance(journal, Path) else set[Path]()
    if items is not None:
        _refuse(items, {items.resolve()} & taken)
        taken.add(items.resolve())
    if out is not None:
        _refuse(out, {out.resolve(), part_of(out.resolve())} & taken)


def _refuse(path: Path, same: Collection[Path]) -> None:
    if same:
        names = ", ".join(sorted(map(str, same)))
        raise click.UsageError(f"{path} can't be two things at once, as {names} would be: name another file")


def read_locally(journal: JournalPlace, call: Callable[[JournalReader], int | None]) -> int:
    """Call with the reader of a journal, and return its exit code, or OK; an error is reported."""
    try:
        with read_journal(journal) as reader:
            return call(reader) or Exit.OK
    except BrokenPipeError:
        raise
    except (RebyteError, OSError) as error:
        return report_error(error)


@click.command()
@journal_argument
@json_option
def status(*, journal: JournalPlace, as_json: bool) -> int:
    """Show how far the batch of JOURNAL is, also while it runs."""
    return read_locally(journal, lambda reader: show_record(_read_status(reader), as_json=as_json))


def _read_status(reader: JournalReader) -> BatchSummary:
    with reader.snapshot():
        counts, last = reader.counts(), reader.last_run()
    words = {True: "under way", None: "not ended"}
    run = None if last is None else words.get(last.is_under_way, "ended" if last.ended_at else "broken off")
    return BatchSummary(
        journal=reader.name,
        run=run,
        items=counts.total,
        given=None if reader.total is None else max(reader.total, counts.total),
        **{name: counts.statuses.get(name, 0) for name in _STATUSES},
        running=counts.states.get("running", 0),
        creating=counts.states.get("creating", 0),
        waiting=counts.states.get("accepted", 0),
        batch_id=reader.batch_id,
        base_url=reader.base_url,
        created_at=reader.created_at,
        first_started_at=counts.first_started_at,
        last_ended_at=counts.last_ended_at,
    )


@click.command(epilog=_EXPORT_EPILOG)
@journal_argument
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), help="By the name of FILE if not given, else jsonl."
)
@click.option("--status", "statuses", multiple=True, type=click.Choice(_STATUSES), help="Only these; may be repeated.")
@click.option("--out", "-o", type=ANY_FILE, help="A file to write; stdout if not given.", metavar="FILE")
@click.option("--no-guard", is_flag=True, help="Leave texts in a CSV that a spreadsheet may take for formulas.")
def export(
    *, journal: JournalPlace, form: str | None, statuses: tuple[str, ...], out: Path | None, no_guard: bool
) -> int:
    """Print the outcomes that JOURNAL has, in the order in which the items were taken."""
    require_distinct(journal, out=out)
    chosen: ExportFormat = "csv" if form == "csv" or (not form and out and out.suffix.lower() == ".csv") else "jsonl"

    def call(reader: JournalReader) -> None:
        some, is_guarded = statuses or None, not no_guard
        if out is None:
            lines = format_outcomes(reader, form=chosen, statuses=some, guard_formulas=is_guarded)
            sys.stdout.writelines(map(sanitize, lines) if sys.stdout.isatty() else lines)
        else:
            count = write_outcomes(reader, out, form=chosen, statuses=some, guard_formulas=is_guarded)
            click.echo(f"wrote {count:,} outcome{'' if count == 1 else 's'} to {out}", err=True)
        counts = reader.counts()
        if not statuses and (rest := counts.total - sum(counts.statuses.values())):
            click.echo(f"{rest:,} of {counts.total:,} items haven't ended", err=True)

    return read_locally(journal, call)


@click.command(epilog=_REPORT_EPILOG)
@journal_argument
@click.option("--html", required=True, type=ANY_FILE, help="The page to write.", metavar="FILE")
def report(*, journal: JournalPlace, html: Path) -> int:
    """Write a page on the batch of JOURNAL: a timeline, durations, failures, final results."""
    require_distinct(journal, out=html)

    def call(reader: JournalReader) -> int:
        try:
            with show_busy("writing the report"):
                count = write_report(reader, html)
        except ConfigurationError as error:
            report_error(error)
            return Exit.MISSING_EXTRA
        click.echo(f"wrote {html} ({format_size(count)})", err=True)
        return Exit.OK

    return read_locally(journal, call)
