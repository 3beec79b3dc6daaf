"""`rebyte-async events`: watch the latest turn of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.options import style_options, timeout_option
from rebyte_async.cli.runtime import open_client
from rebyte_async.cli.view import make_view
from rebyte_async.cli.watch import Watch

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte, TaskEventStream

_EPILOG = """\b
Examples:
  rebyte-async events 6d3c...
  rebyte-async events 6d3c... --json --after "$cursor"

A cursor is in the last line of --json. Ctrl-C leaves the remote task running.
"""


@click.command(epilog=_EPILOG)
@task_argument
@click.option("--after", metavar="CURSOR", help="Leave out what was delivered before this cursor.")
@timeout_option("watching")
@style_options(json="Print a JSON object a line, for programs.", quiet="Print the final result alone.")
def events(*, task_id: str, after: str | None, timeout: float | None, style: str | None) -> int:
    """Watch the latest turn of task TASK_ID from its beginning to its end."""

    def start(client: AsyncRebyte) -> TaskEventStream:
        return client.tasks.events(task_id, after=after)

    return Watch(make_view(style), open_client, start, task_id=task_id, timeout=timeout).run()
