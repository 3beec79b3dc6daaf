"""`rebyte-async batch run` and `retry`: many tasks from a file, with a journal that survives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRun, BatchRunner, Journal, PostgresJournal, load_items, read_journal
from rebyte_async.batch.agent_computers import MOST_WORKSPACES
from rebyte_async.cli.batch_inspect import journal_argument, read_locally, require_distinct
from rebyte_async.cli.batch_items import ItemSource, item_options
from rebyte_async.cli.batch_journal import JournalPlace, takes_journal
from rebyte_async.cli.batch_run import BatchJob
from rebyte_async.cli.batch_work import begin_worker
from rebyte_async.cli.options import ANY_FILE, EXISTING_FILE_OR_STDIN, add_options, batch_options
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
    click.option("--max-new-tasks", type=click.IntRange(min=0), metavar="N", help="Start N tasks at most."),
    click.option(
        "--workspaces",
        type=click.IntRange(min=1, max=MOST_WORKSPACES),
        metavar="N",
        help="Run on N agent computers made for the batch, rather than on a new one for each item.",
    ),
    click.option("--ordered", is_flag=True, help="Give the outcomes in the order of the items."),
    *batch_options,
)


@click.command(epilog=_RUN_EPILOG)
@click.argument("items", type=EXISTING_FILE_OR_STDIN)
@takes_journal(option="The file in which every step is recorded, created if it doesn't exist; or a database's URI.")
@item_options
@_run_options
def run(
    *, items: Path | None, source: ItemSource, journal: JournalPlace, out: Path | None, ordered: bool, **options: Any
) -> int:
    """Run every line or row of ITEMS as a task; - reads them from stdin. This costs money."""
    require_distinct(journal, out=out, items=items)
    if isinstance(journal, PostgresJournal):
        return _load_and_work(journal, source, out, _worker_options(options, ordered=ordered), options["max_new_tasks"])
    return BatchJob(
        journal=journal,
        out=out,
        options=options,
        begin=_begin_runner(journal, source.open, options, ordered=ordered),
        count=source.count,
    ).run()


def _begin_runner(
    journal: Path,
    items: Callable[[], Iterable[BatchItem] | AsyncIterable[BatchItem]],
    options: dict[str, Any],
    *,
    ordered: bool,
) -> Callable[[AsyncRebyte, int | None], BatchRun]:
    return lambda client, total: BatchRunner(client, journal=journal, **options).run(
        items(), ordered=ordered, total=total
    )


def _worker_options(options: dict[str, Any], *, ordered: bool) -> dict[str, Any]:
    """Return the options that a worker has, or refuse those that are for a run alone."""
    if ordered or options["workspaces"] is not None:
        raise click.UsageError(
            "--ordered and --workspaces are for a journal in a file: workers share one in a database"
        )
    return {name: value for name, value in options.items() if name not in ("workspaces", "max_new_tasks")}


def _load_and_work(
    journal: PostgresJournal, source: ItemSource, out: Path | None, options: dict[str, Any], max_new_tasks: int | None
) -> int:
    """Load the items, and run them as one worker of maybe many."""

    async def load(_: AsyncRebyte) -> None:
        await asyncio.to_thread(source.count)  # which checks rows
        added = await load_items(source.open(), journal, max_new_tasks=max_new_tasks)
        click.echo(f"{added:,} new item{'' if added == 1 else 's'} in the {journal}", err=True)

    return BatchJob(
        journal=journal,
        out=out,
        options=options,
        begin=begin_worker(journal, options),
        prepare=load,
        is_whole=False,
    ).run()


@click.command(epilog=_RETRY_EPILOG)
@journal_argument
@click.option("--failed", is_flag=True, help="Those that failed, and those that ended with an error.")
@click.option("--canceled", is_flag=True, help="Those that were canceled.")
@click.option("--ambiguous", is_flag=True, help="Those of which a task may exist: it is looked for first.")
@_run_options
def retry(
    *,
    journal: JournalPlace,
    failed: bool,
    canceled: bool,
    ambiguous: bool,
    out: Path | None,
    ordered: bool,
    **options: Any,
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

    if isinstance(journal, PostgresJournal):
        if options["max_new_tasks"] is not None:
            raise click.UsageError("--max-new-tasks is a limit of the batch there: `batch load` sets it")
        options = _worker_options(options, ordered=ordered)
        begin = begin_worker(journal, options)
    else:
        begin = _begin_runner(journal, partial(_read_open_items, journal), options, ordered=ordered)
    return BatchJob(
        journal=journal,
        out=out,
        options=options,
        begin=begin,
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


def _count_open(journal: JournalPlace) -> int:
    with read_journal(journal) as reader:
        counts = reader.counts()
    return counts.total - sum(counts.statuses.values())
