"""`rebyte-async batch load` and `work`: a batch in a database, which any number of workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchRun, BatchWorker, PostgresJournal, load_items
from rebyte_async.cli.batch_items import ItemSource, item_options
from rebyte_async.cli.batch_journal import takes_journal
from rebyte_async.cli.batch_run import BatchJob
from rebyte_async.cli.options import EXISTING_FILE_OR_STDIN, add_options, batch_options
from rebyte_async.cli.runtime import run

_LOAD_EPILOG = """\b
Examples:
  rebyte-async batch load items.jsonl --journal postgresql://db.internal/batches --batch nightly
  rebyte-async batch load rows.csv --prompt "Classify: {text}" --key id \\
      --journal postgresql://db.internal/batches --batch nightly

It needs no API key, and starts nothing: `batch work` does, on any number of machines. A password is better in
PGPASSWORD or a password file than in the URI.

\b
It needs an extra:
  pip install 'rebyte-async[postgres]'
"""

_WORK_EPILOG = """\b
Example:
  rebyte-async batch work --journal postgresql://db.internal/batches --batch nightly

Start as many workers as you like, when and where you like: by systemd, Kubernetes, Slurm or hand. Each runs items until
none is left. One that is stopped, killed or cut off loses nothing: the others continue its items. The exit code is that
of the items that this worker ended, as for `batch run`.
"""


@click.command(epilog=_LOAD_EPILOG)
@click.argument("items", type=EXISTING_FILE_OR_STDIN)
@takes_journal(option="The database, such as postgresql://user@host/database.", only_databases=True)
@click.option(
    "--max-new-tasks", type=click.IntRange(min=0), metavar="N", help="Let all workers together start N tasks at most."
)
@click.option(
    "--max-open", type=click.IntRange(min=1), metavar="N", help="Let all workers together have N tasks open at most."
)
@item_options
def load(
    *,
    items: Path | None,
    source: ItemSource,
    journal: PostgresJournal,
    max_new_tasks: int | None,
    max_open: int | None,
) -> int:
    """Load every line or row of ITEMS into a batch in a database; - reads them from stdin."""
    del items

    async def main() -> None:
        await asyncio.to_thread(source.count)  # which checks rows
        added = await load_items(source.open(), journal, max_new_tasks=max_new_tasks, max_open=max_open)
        click.echo(f"{added:,} new item{'' if added == 1 else 's'} in the {journal}", err=True)

    return run(main)


@click.command(epilog=_WORK_EPILOG)
@takes_journal(option="The database, such as postgresql://user@host/database.", only_databases=True)
@add_options(*batch_options)
def work(*, journal: PostgresJournal, **options: Any) -> int:
    """Run items of a batch in a database until none is left, beside other workers. This costs money."""
    return BatchJob(journal=journal, out=None, options=options, begin=begin_worker(journal, options)).run()


def begin_worker(journal: PostgresJournal, options: dict[str, Any]) -> Callable[[AsyncRebyte, int | None], BatchRun]:
    """Return what begins the run of a worker, as `BatchJob.begin`."""
    return lambda client, _: BatchWorker(client, journal, **options).run()
