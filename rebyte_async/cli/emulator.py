"""`rebyte-async emulator`: the API on this machine, to develop against."""

from __future__ import annotations

import click

from rebyte_async.cli.exits import Exit, complain
from rebyte_async.cli.loop import InterruptedBySignal, run_loop

__all__ = ["emulator"]

_EPILOG = """\b
Example:
  rebyte-async emulator --port 8787

It prints two lines for a shell: put "export " before them, and rebyte-async and the SDK talk to it.
"""


@click.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.option("--api-key", metavar="KEY", help="The key that it takes; a new one if not given.")
def emulator(*, host: str, port: int, api_key: str | None) -> int:
    """Run the API's emulator on this machine until Ctrl-C: no key, no network, no cost."""
    from rebyte_async.emulator.__main__ import serve  # noqa: PLC0415 - the emulator takes time to import

    click.echo('Ctrl-C stops it. Put "export " before these lines in another shell:', err=True)
    try:
        run_loop(lambda: serve(host=host, port=port, api_key=api_key))
    except (InterruptedBySignal, KeyboardInterrupt):
        return Exit.OK
    except OSError as error:
        complain(f"can't listen on {host}:{port}: {error.strerror or error}")
        return Exit.OTHER
    return Exit.OK
