"""`rebyte-async doctor`: whether the command is set up, and whether the service answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from rebyte_async.cli.checks import Checkup
from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.options import json_option
from rebyte_async.cli.runtime import run
from rebyte_async.cli.view.json import to_json_line
from rebyte_async.cli.view.terminal import open_screen

if TYPE_CHECKING:
    from rebyte_async.cli.checks import Check

_GLYPHS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "dim"), "note": ("!", "yellow")}
_EPILOG = """\b
The exit code is that of the first check that failed: 2 settings, 7 network, 8 key,
9 and 13 another address, 10 too many requests, 12 service.
The key is never printed, but for its last four characters.
"""


@click.command(epilog=_EPILOG)
@click.option("--base-url", metavar="URL", help="Check this address instead of the one that is set.")
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
            print_error(f"{failed}: see above")
            return code
        if not as_json:
            click.echo("\nEverything works.")
        return Exit.OK

    return run(call)


def _show(check: Check, *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json_line(check))
        return
    screen = open_screen(sys.stdout)
    if screen is None:
        click.echo("\t".join((check.outcome, check.name, check.found, *([check.advice] if check.advice else ()))))
        return
    glyph, color = _GLYPHS[check.outcome]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=9)
    grid.add_column(overflow="fold")
    style = "red" if check.outcome == "failed" else ""
    grid.add_row(Text(glyph, color), Text(check.name, "bold"), Text(check.found, style))
    if check.advice:
        grid.add_row("", "", Text(f"→ {check.advice}", "yellow"))
    screen.console.print(grid)
