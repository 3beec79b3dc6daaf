"""`rebyte-async run`: start a task, or the next turn of one, and watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.completion import complete_task
from rebyte_async.cli.options import (
    NEW_TASK_FLAGS,
    files_options,
    new_task_options,
    prompt_of,
    skills_option,
    style_of,
    style_options,
    timeout_option,
)
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_view
from rebyte_async.cli.view.bars import bars_in
from rebyte_async.cli.watch import Watch, api_client
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async import AsyncRebyte
    from rebyte_async.resources import TaskRun

__all__ = ["run"]

_EPILOG = """\b
Examples:
  rebyte-async run "Build a REST API in Go"
  rebyte-async run "Fix the failing test" --github-url owner/repo --branch dev
  rebyte-async run "Which month was best?" --file sales.csv
  rebyte-async run "Now add a login page" --task-id 6d3c...
  rebyte-async run - --json < prompt.txt | jq -r .event_type
  answer=$(rebyte-async run --quiet "What is 6 times 7?")

Ctrl-C leaves the remote task running, unless --cancel-on-interrupt is given. The exit code tells the outcome: 0
completed, 3 failed, 4 canceled, 5 timeout, 6 perhaps started, 7 network, 8 key, 9 not found, 130 Ctrl-C.
"""


@click.command(epilog=_EPILOG)
@click.argument("prompt")
@new_task_options
@skills_option
@files_options
@click.option("--task-id", metavar="ID", shell_complete=complete_task, help="A task of which this is the next turn.")
@timeout_option
@click.option(
    "--cancel-on-interrupt/--keep-running",
    "cancel",
    help="What Ctrl-C and --timeout do to the remote task. It keeps running by default.",
)
@style_options
def run(
    *,
    prompt: str,
    skills: tuple[str, ...],
    paths: tuple[Path, ...],
    refs: tuple[FileRef, ...],
    task_id: str | None,
    timeout: float | None,
    cancel: bool,
    as_json: bool,
    quiet: bool,
    **of_new_task: str | None,
) -> int:
    """Run PROMPT on an agent computer and watch it; - reads the prompt from stdin. This costs money."""
    arguments: dict[str, Any] = {name: value for name, value in of_new_task.items() if value is not None}
    if task_id is not None and arguments:
        given = ", ".join(NEW_TASK_FLAGS[name] for name in arguments)
        raise click.UsageError(f"{given}: not with --task-id, since the task has it already")
    text, attached = prompt_of(prompt), list[FileRef](refs)
    view = make_view(style_of(as_json=as_json, quiet=quiet))

    async def prepare(client: AsyncRebyte) -> None:
        attached[:] = await upload_files(client, [*paths, *refs], bars_in(view))

    def start(client: AsyncRebyte) -> TaskRun:
        return client.tasks.run(
            text, task_id=task_id, check=False, cancel_remote=cancel, skills=skills, files=attached, **arguments
        )

    watch = Watch(view, api_client, start, task_id=task_id, timeout=timeout, cancel=cancel, creates=True)
    watch.prepare = prepare if paths else None
    return watch.run()
