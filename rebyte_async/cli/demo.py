"""The commands that run the emulator: `rebyte-async demo`, for a first look, and `rebyte-async emulator`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from attrs import define, field

from rebyte_async import AsyncRebyte
from rebyte_async.cli.demo_script import DATA, DATA_NAME, PROMPT, REPORT_NAME, agent
from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.options import style_options
from rebyte_async.cli.runtime import run
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_view, open_screen
from rebyte_async.cli.view.base import View
from rebyte_async.cli.view.progress import NestedTransferView
from rebyte_async.cli.view.text import format_size, one_line, sanitize
from rebyte_async.cli.watch import Watch
from rebyte_async.emulator import Emulator
from rebyte_async.emulator.__main__ import serve
from rebyte_async.errors import RebyteError
from rebyte_async.resources import TaskRun
from rebyte_async.types import FileRef, TaskResult

_NEXT = """
The agent was emulated here: no key, no cost. A real one:

  export REBYTE_API_KEY=rbk_...
  rebyte-async run "Build a REST API in Go"
"""


_EMULATOR_EPILOG = """\b
Example:
  rebyte-async emulator --port 8787

It prints two lines for a shell: put "export " before them, and rebyte-async and the SDK use the emulator.
"""


@click.command()
@click.option("--fast", is_flag=True, help="Don't take the time that an agent takes.")
@style_options(json="Print a JSON object a line, for programs.", quiet="Print the final result alone.")
def demo(*, fast: bool, style: str | None) -> int:
    """Watch an emulated agent do a whole job: no key, no network, no cost."""
    with TemporaryDirectory(prefix="rebyte-demo-") as folder:
        job = _Job(Path(folder), make_view(style), pace=0 if fast else 1)
        if style is None:
            click.echo(f'$ rebyte-async run "{PROMPT}" --file {DATA_NAME}\n')
        code = job.run()
        if style is None and code == Exit.OK:
            job.show_report()
            click.echo(_NEXT, nl=False)
    return code


@define
class _Job:
    """Uploads a file, watches an agent work with it, and downloads a report."""

    folder: Path
    view: View
    pace: float = field(kw_only=True)
    _refs: Sequence[FileRef] = field(default=(), init=False)
    _workspace_id: str = field(default="", init=False)

    def run(self) -> int:
        watch = Watch(self.view, self._open_client, self._start, is_local=True)
        watch.prepare, watch.complete = self._upload, self._download
        return watch.run()

    def show_report(self) -> None:
        path = self.folder / REPORT_NAME
        if not path.exists():
            return
        click.echo(f"\n$ rebyte-async artifacts download {one_line(self._workspace_id)} {REPORT_NAME}")
        click.echo(f"{REPORT_NAME}  {format_size(path.stat().st_size)}")
        click.echo(f"\n$ cat {REPORT_NAME}")
        if screen := open_screen(sys.stdout):
            screen.print_prose(path.read_text("utf-8"))
        else:
            click.echo(sanitize(path.read_text("utf-8")), nl=False)

    @asynccontextmanager
    async def _open_client(self) -> AsyncGenerator[AsyncRebyte]:
        async with Emulator(boot=0.6 * self.pace) as emulator:
            emulator.script(agent(pace=self.pace))
            async with AsyncRebyte(api_key=emulator.api_key, base_url=emulator.url) as client:
                yield client

    async def _upload(self, client: AsyncRebyte) -> None:
        data = self.folder / DATA_NAME
        await asyncio.to_thread(data.write_text, DATA, "utf-8")
        self._refs = await upload_files(client, [data], NestedTransferView(self.view))

    def _start(self, client: AsyncRebyte) -> TaskRun:
        return client.tasks.run(PROMPT, check=False, files=self._refs)

    async def _download(self, client: AsyncRebyte, result: TaskResult) -> None:
        self._workspace_id = (await client.tasks.get(result.task_id)).workspace_id or ""
        if self._workspace_id:
            await client.artifacts.download(self._workspace_id, REPORT_NAME, self.folder / REPORT_NAME)


@click.command(epilog=_EMULATOR_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.option("--api-key", metavar="KEY", help="The key that it accepts; a new one if not given.")
def emulator(*, host: str, port: int, api_key: str | None) -> int:
    """Run the API's emulator on this machine until Ctrl-C: no key, no network, no cost."""

    async def main() -> int:
        await serve(host=host, port=port, api_key=api_key)
        return Exit.OK

    def failed(error: RebyteError | OSError) -> int:
        reason = getattr(error, "strerror", None) or error
        print_error(f"can't listen on {host}:{port}: {reason}")
        return Exit.OTHER

    click.echo('Ctrl-C stops it. Put "export " before these lines in another shell:', err=True)
    return run(main, on_interrupt=lambda _: Exit.OK, on_error=failed)
