"""`rebyte-async computers`: the machines that agents work on."""

from __future__ import annotations

import click

from rebyte_async import AsyncRebyte
from rebyte_async.cli.completion import computer_argument
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.options import json_option, list_options, read_text, style_options, timeout_option, yes_option
from rebyte_async.cli.runtime import delete_once, do_once, run_once, show_once
from rebyte_async.cli.view import show_busy
from rebyte_async.cli.view.output import show_record
from rebyte_async.cli.view.table import Column
from rebyte_async.cli.view.text import format_plain
from rebyte_async.types import AgentComputer

_COLUMNS: tuple[Column[AgentComputer], ...] = (
    Column(heading="ID", of=lambda computer: computer.id),
    Column(heading="STATUS", of=lambda computer: computer.status, rank=1, is_status=True),
    Column(heading="CREATED", of=lambda computer: computer.created_at, rank=2),
    Column(heading="NAME", of=lambda computer: computer.name, is_flexible=True),
)
_READY_WITHIN = 300.0
_WAITING = "waiting until the computer is ready, which mostly takes a minute"

_CREATE_EPILOG = """\b
Examples:
  rebyte-async computers create build-box --wait
  rebyte-async run "Run the tests" --workspace-id "$(rebyte-async computers create -q --wait)"
"""


@click.group()
def computers() -> None:
    """Agent computers: make, read, wait for, change, delete."""


@computers.command("list")
@list_options(50)
def list_computers(*, offset: int, limit: int, is_all: bool, as_json: bool) -> int:
    """List the organization's machines, newest first."""
    return list_once(
        lambda client, size: client.agent_computers.list(limit=size, offset=offset),
        _COLUMNS,
        limit=None if is_all else limit,
        as_json=as_json,
        empty="no agent computers yet:  rebyte-async computers create",
    )


@computers.command()
@computer_argument
@json_option
def get(*, computer_id: str, as_json: bool) -> int:
    """Show computer COMPUTER_ID."""
    return show_once(lambda client: client.agent_computers.get(computer_id), as_json=as_json)


@computers.command(epilog=_CREATE_EPILOG)
@click.argument("name", required=False)
@click.option("--icon", help="Its icon.")
@click.option("--wait", "waits", is_flag=True, help="Wait until it is ready.")
@style_options()
def create(*, name: str | None, icon: str | None, waits: bool, style: str | None) -> int:
    """Make a machine, called NAME. This costs money."""
    fate = "it isn't known whether a computer was made: look at rebyte-async computers list"

    async def call(client: AsyncRebyte) -> None:
        nonlocal fate
        with show_busy("making the computer"):
            computer = await client.agent_computers.create(name, icon=icon)
        fate = f"computer {computer.id} is being made"
        if style == "quiet":
            click.echo(format_plain(computer.id))
        if waits:
            with show_busy(_WAITING):
                computer = await client.agent_computers.wait_ready(computer.id, timeout=_READY_WITHIN)
        if style != "quiet":
            show_record(computer, as_json=style == "json")

    return run_once(call, on_interrupt=lambda: fate)


@computers.command()
@computer_argument
@timeout_option("waiting")
@json_option
def wait(*, computer_id: str, timeout: float | None, as_json: bool) -> int:
    """Wait until computer COMPUTER_ID is ready, for 5 minutes unless --timeout is given."""

    async def call(client: AsyncRebyte) -> None:
        with show_busy(_WAITING):
            computer = await client.agent_computers.wait_ready(computer_id, timeout=timeout or _READY_WITHIN)
        show_record(computer, as_json=as_json)

    return run_once(call, on_interrupt=f"computer {computer_id} is still being made")


@computers.command()
@computer_argument
@click.option("--instructions", metavar="TEXT", help="Standing instructions for its agents; - reads them from stdin.")
@click.option("--show", "shown", multiple=True, metavar="VIEW", help="A view to switch on; may be repeated.")
@click.option("--hide", "hidden", multiple=True, metavar="VIEW", help="A view to switch off; may be repeated.")
def update(*, computer_id: str, instructions: str | None, shown: tuple[str, ...], hidden: tuple[str, ...]) -> int:
    """Change computer COMPUTER_ID. Beyond the documented API: may change."""
    views = dict.fromkeys(shown, True) | dict.fromkeys(hidden, False)
    text = None if instructions is None else read_text(instructions, "--instructions")
    if text is None and not views:
        raise click.UsageError("there is nothing to change: give --instructions, --show or --hide")
    return do_once(
        lambda client: client.agent_computers.update(computer_id, agent_instructions=text, views=views or None),
        f"computer {computer_id} is updated",
    )


@computers.command()
@computer_argument
@yes_option
def delete(*, computer_id: str, yes: bool) -> int:
    """Delete computer COMPUTER_ID. On a terminal it asks first. Beyond the documented API: may change."""
    return delete_once(
        lambda client: client.agent_computers.delete(computer_id),
        f"Delete computer {computer_id}, with everything on it?",
        f"computer {computer_id} is deleted",
        yes=yes,
    )
