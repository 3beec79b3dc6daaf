"""`rebyte-async cancel`, which is `rebyte-async tasks cancel` too: cancel what a task is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.once import run_once
from rebyte_async.cli.options import json_option
from rebyte_async.cli.reads import cancel_task
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.view.record import show_record

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte

__all__ = ["cancel"]


@click.command()
@task_argument
@json_option
def cancel(*, task_id: str, as_json: bool) -> int:
    """Cancel what task TASK_ID is doing. Harmless on one that has ended."""

    async def call(client: AsyncRebyte) -> int:
        task = await cancel_task(client, task_id)
        if as_json:
            show_record(task, as_json=True)
        else:
            click.echo(one_line(f"task {task_id}: {task.status or 'asked to cancel'}"))
        return Exit.OK if task.is_terminal else Exit.OTHER

    return run_once(call)
