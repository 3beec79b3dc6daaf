"""The commands that run the emulator: `rebyte-async demo`, for a first look, and `rebyte-async emulator`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.options import style_options
from rebyte_async.cli.runtime import run
from rebyte_async.errors import RebyteError

_NEXT = """
The agent was emulated here: no key, no cost. A real one:

  export REBYTE_API_KEY=rbk_...
  rebyte-async run "Build a REST API in Go"
"""
_EMULATOR_EPILOG = """\b
Example:
  rebyte-async emulator --port 8787 --log --script story.yaml

It prints two lines for a shell: put "export " before them, as --export does, and rebyte-async and the SDK use the
emulator.
"""
_PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--fast", is_flag=True, help="Don't take the time that an agent takes.")
@style_options(json="Print a JSON object a line, for programs.", quiet="Print the final result alone.")
def demo(*, fast: bool, style: str | None) -> int:
    """Watch an emulated agent do a whole job: no key, no network, no cost."""
    from rebyte_async.cli.demo_job import DemoJob  # noqa: PLC0415 - the emulator takes time to import, and help needs none

    with TemporaryDirectory(prefix="rebyte-demo-") as folder:
        job = DemoJob(Path(folder), style, pace=0 if fast else 1)
        code = job.run()
        if style is None and code == Exit.OK:
            job.show_report()
            click.echo(_NEXT, nl=False)
    return code


@click.command(epilog=_EMULATOR_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8787, show_default=True, type=_PORT, help="The port; 0 for any.")
@click.option(
    "--storage-port",
    default=0,
    show_default=True,
    type=_PORT,
    help="The port for uploads; 0 for any.",
)
@click.option("--api-key", metavar="KEY", help="The key that it accepts; a new one if not given.")
@click.option("--script", "scripts", multiple=True, type=Path, metavar="FILE", help="Scripts and faults, JSON or YAML.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Such as html_page, status=429 or cut=2.")
@click.option("--pace", default=0.02, show_default=True, help="Seconds between events without a script.")
@click.option("--log", is_flag=True, help="Print a line for each request.")
@click.option("--export", is_flag=True, help="Print the address and the key as commands of a shell.")
def emulator(*, host: str, port: int, scripts: tuple[Path, ...], faults: tuple[str, ...], **options: Any) -> int:
    """Run the API's emulator on this machine until Ctrl-C: no key, no network, no cost."""
    from rebyte_async.emulator import ScriptError  # noqa: PLC0415 - likewise
    from rebyte_async.emulator.__main__ import explain_listening, serve  # noqa: PLC0415 - likewise
    from rebyte_async.emulator.document import load_documents  # noqa: PLC0415 - likewise

    def failed(error: RebyteError | OSError) -> int:
        print_error(explain_listening(error, host, port))
        return Exit.OTHER

    try:
        document = load_documents(scripts, faults)
    except ScriptError as error:
        raise click.UsageError(str(error)) from None
    if not options["export"]:
        click.echo('Ctrl-C stops it. Put "export " before these lines in another shell:', err=True)
    main = partial(serve, host=host, port=port, document=document, **options)
    return run(main, on_interrupt=lambda _: Exit.OK, on_error=failed)
