"""`rebyte-async run` and `events`: start a turn, or take one that runs, and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async.cli.completion import complete_task, task_argument
from rebyte_async.cli.options import (
    FOLDER,
    NEW_TASK_FLAGS,
    Submission,
    style_options,
    submission_options,
    timeout_option,
)
from rebyte_async.cli.run_download import RunDownload, make_folder
from rebyte_async.cli.runtime import open_client
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_view
from rebyte_async.cli.view.progress import NestedTransferView
from rebyte_async.cli.watch import Watch
from rebyte_async.resources import TaskRun
from rebyte_async.types import FileRef

_RUN_EPILOG = """\b
Examples:
  rebyte-async run "Build a REST API in Go"
  rebyte-async run "Fix the failing test" --github-url owner/repo --branch dev
  rebyte-async run "Which month was best?" --file sales.csv
  rebyte-async run "Now add a login page" --task-id 6d3c...
  rebyte-async run "Make a chart of sales.csv" --file sales.csv --download charts
  rebyte-async run - --json < prompt.txt | jq -r .event_type
  result=$(rebyte-async run --quiet "What is 6 times 7?")

Ctrl-C leaves the remote task running, unless --cancel-on-interrupt is given. The exit code says how it ended: 0
completed, 3 failed, 4 canceled, 5 timeout, 6 perhaps started, 7 network, 8 key, 9 not found, 130 Ctrl-C.
"""

_EVENTS_EPILOG = """\b
Examples:
  rebyte-async events 6d3c...
  rebyte-async events 6d3c... --json --after "$cursor"

A cursor is in the last line of --json. Ctrl-C leaves the remote task running.
"""


@click.command(epilog=_RUN_EPILOG)
@submission_options(is_new_task=True)
@click.option("--task-id", metavar="ID", shell_complete=complete_task, help="A task of which this is the next turn.")
@click.option("--download", "folder", metavar="DIR", type=FOLDER, help="Download the artifacts into DIR at the end.")
@click.option("--force", is_flag=True, help="With --download, replace files that exist.")
@timeout_option("watching")
@click.option(
    "--cancel-on-interrupt/--keep-running",
    "cancel",
    help="What Ctrl-C and --timeout do to the remote task. It keeps running by default.",
)
@style_options(json="Print a JSON object a line, for programs.", quiet="Print the final result alone.")
def run(
    *,
    submission: Submission,
    task_id: str | None,
    folder: Path | None,
    force: bool,
    timeout: float | None,
    cancel: bool,
    style: str | None,
) -> int:
    """Run PROMPT on an agent computer and watch it; - reads the prompt from stdin. This costs money."""
    if force and folder is None:
        raise click.UsageError("--force: only with --download")
    if task_id is not None and submission.new_task:
        given = ", ".join(NEW_TASK_FLAGS[name] for name in submission.new_task)
        raise click.UsageError(f"{given}: not with --task-id, since the task has it already")
    view = make_view(style)
    attached = [item for item in submission.attachments if isinstance(item, FileRef)]
    options: dict[str, Any] = {**submission.new_task, "skills": submission.skills, "files": attached}

    async def upload(client: AsyncRebyte) -> None:
        attached[:] = await upload_files(client, submission.attachments, NestedTransferView(view))

    def start(client: AsyncRebyte) -> TaskRun:
        return client.tasks.run(submission.prompt, task_id=task_id, check=False, cancel_remote=cancel, **options)

    watch = Watch(view, open_client, start, task_id=task_id, timeout=timeout, cancel=cancel, creates=True)
    watch.prepare = None if len(attached) == len(submission.attachments) else upload
    if folder is None:
        return watch.run()
    make_folder(folder)
    download = RunDownload(folder, force, NestedTransferView(view, doing="downloading", notes=False))
    watch.complete = download.complete
    return download.report(watch.run())


@click.command(epilog=_EVENTS_EPILOG)
@task_argument
@click.option("--after", metavar="CURSOR", help="Leave out what was delivered before this cursor.")
@timeout_option("watching")
@style_options(json="Print a JSON object a line, for programs.", quiet="Print the final result alone.")
def events(*, task_id: str, after: str | None, timeout: float | None, style: str | None) -> int:
    """Watch the latest turn of task TASK_ID from its beginning to its end."""

    def start(client: AsyncRebyte) -> TaskEventStream:
        return client.tasks.events(task_id, after=after)

    return Watch(make_view(style), open_client, start, task_id=task_id, timeout=timeout).run()
