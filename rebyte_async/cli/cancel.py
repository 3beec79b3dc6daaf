"""`rebyte-async cancel`: cancel what a task is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebyte_async.cli.exits import Exit
from rebyte_async.cli.once import run_once
from rebyte_async.cli.reads import cancel_task
from rebyte_async.cli.view.clean import one_line

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte

__all__ = ["cancel"]


@click.command()
@click.argument("task_id")
def cancel(*, task_id: str) -> int:
    """Cancel what task TASK_ID is doing. Harmless on one that has ended."""

    async def call(client: AsyncRebyte) -> int:
        task = await cancel_task(client, task_id)
        click.echo(one_line(f"task {task_id}: {task.status or 'asked to cancel'}"))
        return Exit.OK if task.is_terminal else Exit.OTHER

    return run_once(call)
