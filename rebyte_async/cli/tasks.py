"""`rebyte-async tasks`: everything about tasks but watching them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.ask import agrees, yes_option
from rebyte_async.cli.cancel import cancel
from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.exits import Exit, complain, of_status
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.once import do_once, run_once, show_once
from rebyte_async.cli.options import (
    files_options,
    id_option,
    json_option,
    list_options,
    new_task_options,
    offset_option,
    prompt_of,
    skills_option,
    style_of,
    wait_option,
)
from rebyte_async.cli.reads import note_suspects
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view.bars import busy, make_bars
from rebyte_async.cli.view.clean import clean, one_line
from rebyte_async.cli.view.content import show_content
from rebyte_async.cli.view.record import show_made, show_record
from rebyte_async.cli.view.table import Column
from rebyte_async.errors import AmbiguousRequestError
from rebyte_async.types.tasks import Visibility

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rebyte_async import AsyncRebyte
    from rebyte_async.resources.files import Attachment
    from rebyte_async.types.files import FileRef
    from rebyte_async.types.tasks import Prompt, Task

__all__ = ["tasks"]

_COLUMNS: tuple[Column[Task], ...] = (
    Column(heading="ID", of=lambda task: task.id),
    Column(heading="STATUS", of=lambda task: task.status, rank=1, is_status=True),
    Column(heading="CREATED", of=lambda task: task.created_at, rank=2),
    Column(heading="EXECUTOR", of=lambda task: task.executor, rank=3),
    Column(heading="TITLE", of=lambda task: task.title, is_flexible=True),
)

_EPILOG = """\b
To watch an agent, and to answer it, there are commands of their own:
  rebyte-async run, rebyte-async events, rebyte-async answer
"""

_CREATE_EPILOG = """\b
Examples:
  rebyte-async tasks create "Build a REST API in Go"
  rebyte-async tasks create "Which month was best?" --file sales.csv
  id=$(rebyte-async tasks create -q - < prompt.txt)

It may take minutes until the machine is up. Ctrl-C leaves it to the service whether the task is made.
"""


@click.group(epilog=_EPILOG)
def tasks() -> None:
    """Tasks: make, read, prompt, wait for, cancel, share, delete."""


tasks.add_command(cancel)


@tasks.command("list")
@offset_option
@list_options(50)
def list_tasks(*, offset: int, limit: int, is_all: bool, as_json: bool) -> int:
    """List the tasks that were made through the API, newest first."""
    return list_once(
        lambda client, size: client.tasks.list(limit=size, offset=offset),
        _COLUMNS,
        limit=None if is_all else limit,
        as_json=as_json,
        empty='no tasks yet:  rebyte-async run "Build a REST API in Go"',
    )


@tasks.command()
@task_argument
@json_option
def get(*, task_id: str, as_json: bool) -> int:
    """Show task TASK_ID with its status and its turns."""
    return show_once(lambda client: client.tasks.get(task_id), as_json=as_json)


@tasks.command(epilog=_CREATE_EPILOG)
@click.argument("prompt")
@new_task_options
@skills_option
@files_options
@json_option
@id_option
def create(
    *,
    prompt: str,
    skills: tuple[str, ...],
    paths: tuple[Path, ...],
    refs: tuple[FileRef, ...],
    as_json: bool,
    quiet: bool,
    **of_new_task: Any,
) -> int:
    """Start a task for PROMPT and don't watch it; - reads the prompt from stdin. This costs money."""
    style, text = style_of(as_json=as_json, quiet=quiet), prompt_of(prompt)
    return _submit_once(
        lambda client, files: client.tasks.create(text, skills=skills, files=files, **of_new_task),
        [*paths, *refs],
        task_id=None,
        style=style,
        doing="starting the task",
        doubt="it isn't known whether a task was started: look at rebyte-async tasks list",
    )


@tasks.command()
@task_argument
@click.argument("prompt")
@skills_option
@files_options
@json_option
@id_option
def prompt(
    *,
    task_id: str,
    prompt: str,
    skills: tuple[str, ...],
    paths: tuple[Path, ...],
    refs: tuple[FileRef, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Give task TASK_ID its next turn, PROMPT, and don't watch it; - reads it from stdin. This costs money."""
    style, text = style_of(as_json=as_json, quiet=quiet), prompt_of(prompt)
    return _submit_once(
        lambda client, files: client.tasks.prompt(task_id, text, skills=skills, files=files),
        [*paths, *refs],
        task_id=task_id,
        style=style,
        doing="giving the task its next turn",
        doubt=f"it isn't known whether the turn was started: look at rebyte-async tasks get {task_id}",
    )


@tasks.command()
@task_argument
@wait_option
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Print the final answer alone.")
def wait(*, task_id: str, timeout: float | None, as_json: bool, quiet: bool) -> int:
    """Wait until task TASK_ID has ended; the exit code tells how: 0 completed, 3 failed, 4 canceled, 5 timeout."""
    style = style_of(as_json=as_json, quiet=quiet)

    async def call(client: AsyncRebyte) -> int:
        with busy("waiting for the agent"):
            task = await client.tasks.wait(task_id, timeout=timeout)
        code = of_status(task.status)
        if style != "quiet":
            show_record(task, as_json=as_json)
        elif code is Exit.OK:
            click.echo(clean(task.final_result or "").rstrip("\n"))
        if code is not Exit.OK:
            complain(one_line(f"task {task_id} ended as {task.status}"))
        return code

    return run_once(call, interrupted=f"task {task_id} goes on")


@tasks.command()
@task_argument
@yes_option
def delete(*, task_id: str, yes: bool) -> int:
    """Delete task TASK_ID. On a terminal it asks first."""
    if not agrees(f"Delete task {task_id}?", yes=yes):
        return Exit.OTHER
    return do_once(lambda client: client.tasks.delete(task_id), f"task {task_id} is deleted")


@tasks.command()
@task_argument
@click.argument("level", type=click.Choice([str(level) for level in Visibility]))
@json_option
def visibility(*, task_id: str, level: str, as_json: bool) -> int:
    """Set who may see task TASK_ID: its owner, the organization, or everyone who has the link."""
    return show_once(lambda client: client.tasks.set_visibility(task_id, level), as_json=as_json)


@tasks.command()
@task_argument
@click.option("--events", "with_events", is_flag=True, help="With what the agent did in each turn.")
@json_option
def content(*, task_id: str, with_events: bool, as_json: bool) -> int:
    """Show the questions and answers of task TASK_ID. Beyond the documented API: may change."""

    async def call(client: AsyncRebyte) -> int:
        show_content(await client.tasks.content(task_id, include_events=with_events), as_json=as_json)
        return Exit.OK

    return run_once(call)


def _submit_once(
    submit: Callable[[AsyncRebyte, Sequence[FileRef]], Awaitable[Task | Prompt]],
    attachments: Sequence[Attachment],
    *,
    task_id: str | None,
    style: str | None,
    doing: str,
    doubt: str,
) -> int:
    """Upload files, and start a turn with them that isn't watched.

    Args:
        submit: Starts it, with what was uploaded.
        attachments: The files.
        task_id: The task whose next turn it is; None for a new one.
        style: How what was made is shown.
        doing: What is being done, to be shown meanwhile.
        doubt: What to say after Ctrl-C while the service makes it.

    Returns:
        The exit code.
    """
    known = "nothing was started"

    async def call(client: AsyncRebyte) -> int:
        nonlocal known
        files = await upload_files(client, attachments, make_bars(quiet=style == "quiet"))
        known, began = doubt, time.monotonic()
        try:
            with busy(doing):
                made = await submit(client, files)
        except AmbiguousRequestError as error:
            await note_suspects(error, client, task_id=task_id, seconds=time.monotonic() - began)
            raise
        started = task_id or made.id
        known = f"task {started} is running"
        show_made(made, style)
        if style != "quiet":
            click.echo(f"watch it:  rebyte-async events {one_line(started)}", err=True)
        return Exit.OK

    return run_once(call, interrupted=lambda: known)
