"""`rebyte-async demo`: an emulated agent at work, for a first look."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from rebyte_async import AsyncRebyte
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.options import style_of, style_options
from rebyte_async.cli.view import make_view
from rebyte_async.cli.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rebyte_async.resources.runs import TaskRun

__all__ = ["demo"]

_PROMPT = "The nightly report takes 40 minutes. Find out why, and fix it."

_NEXT = """
The agent was emulated on this machine: no key, no cost. With a real one:

  export REBYTE_API_KEY=rbk_...
  rebyte-async run "Build a REST API in Go"
"""


@click.command()
@click.option("--fast", is_flag=True, help="Don't take the time that an agent takes.")
@style_options
def demo(*, fast: bool, as_json: bool, quiet: bool) -> int:
    """Watch an emulated agent at work: no key, no network, no cost."""
    from rebyte_async.cli.demo_script import agent  # noqa: PLC0415 - the emulator takes time to import
    from rebyte_async.emulator import Emulator  # noqa: PLC0415 - likewise

    style = style_of(as_json=as_json, quiet=quiet)
    if style is None:
        click.echo(f'$ rebyte-async run "{_PROMPT}"\n')

    @asynccontextmanager
    async def open_client() -> AsyncGenerator[AsyncRebyte]:
        async with Emulator(boot=0 if fast else 0.6) as emulator:
            emulator.script(agent(pace=0 if fast else 1))
            async with AsyncRebyte(api_key=emulator.api_key, base_url=emulator.url) as client:
                yield client

    def start(client: AsyncRebyte) -> TaskRun:
        return client.tasks.run(_PROMPT, check=False)

    code = Watch(make_view(style), open_client, start, is_local=True).run()
    if style is None and code == Exit.OK:
        click.echo(_NEXT, nl=False)
    return code
