"""`rebyte-async batch run` and `retry`: many tasks from a file, with a journal that survives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, Journal, read_journal
from rebyte_async.batch.agent_computers import MOST_WORKSPACES
from rebyte_async.cli.batch_inspect import journal_argument, read_locally, require_distinct
from rebyte_async.cli.batch_items import ItemSource, item_options
from rebyte_async.cli.batch_run import BatchJob
from rebyte_async.cli.options import ANY_FILE, EXISTING_FILE_OR_STDIN, add_options
from rebyte_async.resources.options import OPTIONS

_RUN_EPILOG = f"""\b
Examples:
  rebyte-async batch run items.jsonl --journal run.sqlite3 --out outcomes.jsonl --concurrency 64
  rebyte-async batch run rows.csv --prompt "Classify: {{text}}" --key id --journal run.sqlite3

\b
A line of ITEMS is a JSON object, such as
  {{"key": "row-17", "prompt": "Summarise the report", "files": ["reports/17.pdf"]}}

After the prompt it may have {", ".join(OPTIONS)} and metadata.
With --prompt and --key, ITEMS has rows instead: a .csv or .tsv with a heading, or a .jsonl. All rows are checked first.

The same command continues where it stopped, also after a crash: items that have ended aren't run again, and those that
run are waited for. Ctrl-C stops it in order and leaves the tasks running; with --cancel-remote they are canceled. A
second Ctrl-C leaves at once. The exit code is 0 when all completed, 6 when an item is ambiguous, else 3 for failed,
4 canceled, 10 skipped.
"""

_RETRY_EPILOG = """\b
Examples:
  rebyte-async batch retry run.sqlite3 --failed
  rebyte-async batch retry run.sqlite3 --failed --ambiguous --out outcomes.jsonl

The journal keeps what each item asks for, so the file of the items isn't needed. Files to attach are read again.
"""

_run_options = add_options(
    click.option("--out", type=ANY_FILE, help="A file for the outcomes, a JSON object a line; - for stdout."),
    click.option(
        "--concurrency", type=click.IntRange(min=1), default=32, show_default=True, help="Tasks that run at once."
    ),
    click.option("--max-new-tasks", type=click.IntRange(min=0), metavar="N", help="Start N tasks at most."),
    click.option(
        "--workspaces",
        type=click.IntRange(min=1, max=MOST_WORKSPACES),
        metavar="N",
        help="Run on N agent computers made for the batch, rather than on a new one for each item.",
    ),
    click.option("--ordered", is_flag=True, help="Give the outcomes in the order of the items."),
    click.option(
        "--on-ambiguous",
        type=click.Choice(["reconcile", "report"]),
        default="reconcile",
        show_default=True,
        help="What to do where it isn't known whether a task was made: look for it, or report the item at once.",
    ),
    click.option(
        "--reconcile-settle",
        type=click.FloatRange(min=0),
        default=5,
        show_default=True,
        metavar="SECONDS",
        help="The time between two looks at the tasks, which must agree.",
    ),
    click.option("--cancel-remote", is_flag=True, help="Cancel the running tasks on Ctrl-C."),
)


@click.command(epilog=_RUN_EPILOG)
@click.argument("items", type=EXISTING_FILE_OR_STDIN)
@click.option(
    "--journal",
    required=True,
    type=ANY_FILE,
    help="The file in which every step is recorded; created if it doesn't exist.",
)
@item_options
@_run_options
def run(
    *, items: Path | None, source: ItemSource, journal: Path, out: Path | None, ordered: bool, **options: Any
) -> int:
    """Run every line or row of ITEMS as a task; - reads them from stdin. This costs money."""
    require_distinct(journal, out=out, items=items)
    return BatchJob(
        journal=journal,
        out=out,
        options=options,
        ordered=ordered,
        items=source.open,
        count=source.count,
    ).run()


@click.command(epilog=_RETRY_EPILOG)
@journal_argument
@click.option("--failed", is_flag=True, help="Those that failed, and those that ended with an error.")
@click.option("--canceled", is_flag=True, help="Those that were canceled.")
@click.option("--ambiguous", is_flag=True, help="Those of which a task may exist: it is looked for first.")
@_run_options
def retry(
    *, journal: Path, failed: bool, canceled: bool, ambiguous: bool, out: Path | None, ordered: bool, **options: Any
) -> int:
    """Run items of JOURNAL again that failed, together with those that haven't ended. This costs money."""
    chosen = {"failed": failed, "error": failed, "canceled": canceled, "ambiguous": ambiguous}
    statuses = [status for status, is_chosen in chosen.items() if is_chosen]
    if not statuses:
        raise click.UsageError("say which: --failed, --canceled, --ambiguous, or several of them")
    require_distinct(journal, out=out)
    if code := read_locally(journal, lambda _reader: None):
        return code

    total = 0

    async def reopen(client: AsyncRebyte) -> None:
        nonlocal total
        # A journal of another address is refused before it is changed. Users see a client's address in its repr alone.
        address = str(client._transport.base_url)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        async with Journal(journal, base_url=address) as written:
            count = await written.reopen(statuses)
        total = await asyncio.to_thread(_count_open, journal)
        click.echo(f"{count:,} item{'' if count == 1 else 's'} opened again", err=True)

    return BatchJob(
        journal=journal,
        out=out,
        options=options,
        ordered=ordered,
        items=partial(_read_open_items, journal),
        count=lambda: total,
        prepare=reopen,
        is_whole=False,
    ).run()


def _read_open_items(journal: Path) -> Iterator[BatchItem]:
    """Yield the items that haven't ended; those that end while this is read are among them."""
    with read_journal(journal) as reader:
        positions = {item.position for item in reader.items() if item.status is None}
        for item in reader.items():
            if item.position in positions:
                yield BatchItem.from_json(item.request)


def _count_open(journal: Path) -> int:
    with read_journal(journal) as reader:
        counts = reader.counts()
    return counts.total - sum(counts.statuses.values())
