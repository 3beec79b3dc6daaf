"""`rebyte-async events`: watch a task that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.options import style_of, style_options, timeout_option
from rebyte_async.cli.view import make_view
from rebyte_async.cli.watch import Watch, api_client

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte, TaskEventStream

__all__ = ["events"]

_EPILOG = """\b
Examples:
  rebyte-async events 6d3c...
  rebyte-async events 6d3c... --json --after "$cursor"

A cursor is in the last line of --json. Ctrl-C leaves the remote task running.
"""


@click.command(epilog=_EPILOG)
@task_argument
@click.option("--after", metavar="CURSOR", help="Leave out what was delivered before this cursor.")
@timeout_option
@style_options
def events(*, task_id: str, after: str | None, timeout: float | None, as_json: bool, quiet: bool) -> int:
    """Watch the latest turn of task TASK_ID from its beginning to its end."""

    def start(client: AsyncRebyte) -> TaskEventStream:
        return client.tasks.events(task_id, after=after)

    view = make_view(style_of(as_json=as_json, quiet=quiet))
    return Watch(view, api_client, start, task_id=task_id, timeout=timeout).run()
