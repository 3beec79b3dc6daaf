"""`rebyte-async doctor`: what is set up, and whether it works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rebyte_async.cli.checks import Checkup
from rebyte_async.cli.exits import Exit, complain
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.options import json_option
from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.view.screens import is_screen, make_console

if TYPE_CHECKING:
    from rebyte_async.cli.checks import Check

__all__ = ["doctor"]

_MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "dim"), "note": ("!", "yellow")}
_EPILOG = """\b
The exit code is that of the first check that failed: 2 settings, 7 network, 8 key,
9 and 13 another address, 10 too many requests, 12 service.
The key is never printed, but for its last four characters.
"""


@click.command(epilog=_EPILOG)
@click.option("--base-url", metavar="URL", help="Look at this address instead of the one that is set.")
@click.option("--api-key", metavar="KEY", help="Try this key instead of the one that is set.")
@json_option
def doctor(*, base_url: str | None, api_key: str | None, as_json: bool) -> int:
    """See whether this command is set up, and whether the service answers. It costs nothing."""

    async def call() -> int:
        code, failed = Exit.OK, ""
        async for check in Checkup(api_key=api_key, base_url=base_url).run():
            _show(check, as_json=as_json)
            if code is Exit.OK and check.outcome == "failed":
                code, failed = check.code, check.name
        if code is not Exit.OK:
            complain(f"{failed}: see above")
            return code
        if not as_json:
            click.echo("\nEverything works.")
        return Exit.OK

    try:
        return run_loop(call)
    except InterruptedBySignal as interrupt:
        return 128 + interrupt.number
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _show(check: Check, *, as_json: bool) -> None:
    if as_json:
        click.echo(as_line(check))
        return
    mark, color = _MARKS[check.outcome]
    if not is_screen(sys.stdout):
        click.echo("\t".join((check.outcome, check.name, check.found, *([check.advice] if check.advice else ()))))
        return
    from rich.padding import Padding  # noqa: PLC0415 - it takes time, and only a terminal needs it
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=9)
    grid.add_column(overflow="fold")
    style = "red" if check.outcome == "failed" else ""
    grid.add_row(Text(mark, color), Text(check.name, "bold"), Text(check.found, style))
    if check.advice:
        grid.add_row("", "", Text(f"→ {check.advice}", "yellow"))
    make_console(sys.stdout).print(Padding(grid, 0))
