"""`rebyte-async emulator`: the API on this machine, to develop against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.runtime import run
from rebyte_async.emulator.__main__ import serve

if TYPE_CHECKING:
    from rebyte_async.errors import RebyteError

_EPILOG = """\b
Example:
  rebyte-async emulator --port 8787

It prints two lines for a shell: put "export " before them, and rebyte-async and the SDK use the emulator.
"""


@click.command(epilog=_EPILOG)
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
