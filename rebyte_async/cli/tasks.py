"""`rebyte-async tasks`: everything about tasks but watching them; and `rebyte-async cancel`."""

from __future__ import annotations

import time
from collections.abc import Awaitable

import click

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.exits import Exit, exit_code_for_status, print_error
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.options import (
    Submission,
    json_option,
    list_options,
    style_options,
    submission_options,
    timeout_option,
    yes_option,
)
from rebyte_async.cli.recovery import add_candidates
from rebyte_async.cli.runtime import delete_once, run_once, show_once
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_transfer_view, show_busy
from rebyte_async.cli.view.output import show_content, show_created, show_record
from rebyte_async.cli.view.table import Column
from rebyte_async.errors import AmbiguousRequestError
from rebyte_async.resources.options import CreateOptions
from rebyte_async.resources.waiting import cancel_until_terminal
from rebyte_async.types import Prompt, Task, Visibility

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

It may take minutes until the machine is up. After Ctrl-C the service may still make the task.
"""


@click.group(epilog=_EPILOG)
def tasks() -> None:
    """Tasks: make, read, prompt, wait for, cancel, share, delete."""


@tasks.command("list")
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
@submission_options(is_new_task=True)
@style_options()
def create(*, submission: Submission, style: str | None) -> int:
    """Start a task for PROMPT and don't watch it; - reads the prompt from stdin. This costs money."""
    return _submit_once(None, submission, style)


@tasks.command()
@task_argument
@submission_options(is_new_task=False)
@style_options()
def prompt(*, task_id: str, submission: Submission, style: str | None) -> int:
    """Give task TASK_ID its next turn, PROMPT, and don't watch it; - reads it from stdin. This costs money."""
    return _submit_once(task_id, submission, style)


def _submit_once(task_id: str | None, submission: Submission, style: str | None) -> int:
    """Upload files, start a new task or the next turn of one with them, and return the exit code."""
    fate = "nothing was started"

    async def call(client: AsyncRebyte) -> None:
        nonlocal fate
        files = await upload_files(client, submission.attachments, make_transfer_view(quiet=style == "quiet"))
        submit: Awaitable[Task | Prompt]
        if task_id is None:
            options: CreateOptions = {**submission.new_task, "skills": submission.skills, "files": files}
            submit = client.tasks.create(submission.prompt, **options)
            doing = "starting the task"
            fate = "it isn't known whether a task was started: look at rebyte-async tasks list"
        else:
            submit = client.tasks.prompt(task_id, submission.prompt, skills=submission.skills, files=files)
            doing = "giving the task its next turn"
            fate = f"it isn't known whether the turn was started: look at rebyte-async tasks get {task_id}"
        began = time.monotonic()
        try:
            with show_busy(doing):
                created = await submit
        except AmbiguousRequestError as error:
            await add_candidates(error, client, task_id=task_id, seconds=time.monotonic() - began)
            raise
        started = task_id or created.id
        fate = f"task {started} is running"
        show_created(created, style)
        if style != "quiet":
            click.echo(f"watch it:  rebyte-async events {one_line(started)}", err=True)

    return run_once(call, on_interrupt=lambda: fate)


@tasks.command()
@task_argument
@timeout_option("waiting")
@style_options(quiet="Print the final result alone.")
def wait(*, task_id: str, timeout: float | None, style: str | None) -> int:
    """Wait until task TASK_ID has ended; the exit code says how: 0 completed, 3 failed, 4 canceled, 5 timeout."""

    async def call(client: AsyncRebyte) -> int:
        with show_busy("waiting for the agent"):
            task = await client.tasks.wait(task_id, timeout=timeout)
        code = exit_code_for_status(task.status)
        if style != "quiet":
            show_record(task, as_json=style == "json")
        elif code is Exit.OK:
            click.echo(sanitize(task.final_result or "").rstrip("\n"))
        if code is not Exit.OK:
            print_error(one_line(f"task {task_id} ended as {task.status}"))
        return code

    return run_once(call, on_interrupt=f"task {task_id} keeps running")


@tasks.command()
@task_argument
@json_option
def cancel(*, task_id: str, as_json: bool) -> int:
    """Cancel what task TASK_ID is doing. Harmless on one that has ended."""

    async def call(client: AsyncRebyte) -> int:
        task = await cancel_until_terminal(client.tasks, task_id)
        if as_json:
            show_record(task, as_json=True)
        else:
            click.echo(one_line(f"task {task_id}: {task.status or 'asked to cancel'}"))
        return Exit.OK if task.is_terminal else Exit.OTHER

    return run_once(call)


@tasks.command()
@task_argument
@yes_option
def delete(*, task_id: str, yes: bool) -> int:
    """Delete task TASK_ID. On a terminal it asks first."""
    return delete_once(
        lambda client: client.tasks.delete(task_id), f"Delete task {task_id}?", f"task {task_id} is deleted", yes=yes
    )


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
    """Show the prompts and final results of task TASK_ID. Beyond the documented API: may change."""

    async def call(client: AsyncRebyte) -> None:
        show_content(await client.tasks.content(task_id, include_events=with_events), as_json=as_json)

    return run_once(call)
