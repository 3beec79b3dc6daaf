"""What `rebyte-async run --download` does when the turn has ended: it downloads the artifacts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from attrs import define, field

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line
from rebyte_async.cli.exits import report_error
from rebyte_async.cli.transfers import LocalFileError, download_all
from rebyte_async.cli.view.base import Downloaded
from rebyte_async.cli.view.progress import TransferView
from rebyte_async.errors import RebyteError
from rebyte_async.types import TaskResult


def make_folder(folder: Path) -> None:
    """Make the folder before anything is started: a run that can't keep its artifacts would cost money too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(one_line(f"--download: can't make {folder}: {error.strerror or error}")) from error


@define
class RunDownload:
    """Downloads the artifacts of a run's workspace into a folder, however the run has ended."""

    folder: Path
    overwrite: bool
    view: TransferView
    _workspace_id: str | None = field(default=None, init=False)  # set while the artifacts aren't all there
    _failure: RebyteError | None = field(default=None, init=False)

    async def complete(self, client: AsyncRebyte, result: TaskResult) -> Sequence[Downloaded] | None:
        """Download, and return the files; a failure is kept, so that the end of the turn is shown first."""
        try:
            workspace_id = result.workspace_id or (await client.tasks.get(result.task_id)).workspace_id
            if workspace_id is None:
                raise LocalFileError("nothing was downloaded: the service doesn't say where the task's artifacts are")
            self._workspace_id = workspace_id
            files = await download_all(client, workspace_id, self.folder, overwrite=self.overwrite, view=self.view)
        except RebyteError as error:
            self._failure = error
            return None
        self._workspace_id = None
        return files

    def report(self, code: int) -> int:
        """Report what isn't downloaded, after a watching with this exit code; return the code of both."""
        if self._failure is not None:
            failed = report_error(self._failure)
            code = code or failed
        if self._workspace_id is not None:
            words = ["artifacts", "download", self._workspace_id, "--all", "-o", str(self.folder)]
            click.echo(f"  download them:   rebyte-async {one_line(shlex.join(words))}", err=True)
        return code
