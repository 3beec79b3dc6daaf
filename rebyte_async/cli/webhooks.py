"""`rebyte-async webhooks`: where the service tells what becomes of tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.ask import agrees, yes_option
from rebyte_async.cli.completion import webhook_argument
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.listen import complete_event, listen
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.once import do_once, run_once, show_once
from rebyte_async.cli.options import id_option, json_option, list_options, style_of, text_of
from rebyte_async.cli.view.clean import clean, one_line
from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.view.record import show_made
from rebyte_async.cli.view.table import Column
from rebyte_async.errors import ConnectError, TransportError
from rebyte_async.types.webhooks import WebhookEventName

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte
    from rebyte_async.types.webhooks import Webhook

__all__ = ["webhooks"]


def _short(events: tuple[str, ...]) -> str:
    return one_line(" ".join(event.removeprefix("task.") for event in events))


_COLUMNS: tuple[Column[Webhook], ...] = (
    Column(heading="ID", of=lambda webhook: webhook.id),
    Column(heading="ACTIVE", of=lambda webhook: webhook.is_active, rank=2),
    Column(heading="FAILURES", of=lambda webhook: webhook.failure_count, rank=4, is_number=True),
    Column(heading="LAST", of=lambda webhook: webhook.last_triggered_at, rank=5),
    Column(heading="URL", of=lambda webhook: webhook.url, is_flexible=True),
    Column(heading="EVENTS", of=lambda webhook: webhook.events, human=_short, rank=3, is_flexible=True),
)

_CREATE_EPILOG = """\b
Example:
  rebyte-async webhooks create https://example.com/hook -e task.failed --secret - < secret.txt

A secret on the command line can be seen by others on this machine: - reads it from stdin, and the environment
variable REBYTE_WEBHOOK_SECRET gives it too. It is never printed.
"""


@click.group()
def webhooks() -> None:
    """Webhooks: register, read, delete, listen; the key that signs them."""


webhooks.add_command(listen)


@webhooks.command("list")
@list_options(None)
def list_webhooks(*, limit: int | None, is_all: bool, as_json: bool) -> int:
    """List the organization's webhooks."""
    return list_once(
        lambda client, _size: client.webhooks.list(),
        _COLUMNS,
        limit=None if is_all else limit,
        as_json=as_json,
        empty="no webhooks yet:  rebyte-async webhooks create URL -e task.completed",
    )


@webhooks.command()
@webhook_argument
@json_option
def get(*, webhook_id: str, as_json: bool) -> int:
    """Show webhook WEBHOOK_ID."""
    return show_once(lambda client: client.webhooks.get(webhook_id), as_json=as_json)


@webhooks.command(epilog=_CREATE_EPILOG)
@click.argument("url")
@click.option(
    "--event",
    "-e",
    "events",
    multiple=True,
    required=True,
    shell_complete=complete_event,
    help=f"What to be told of: {', '.join(WebhookEventName)}; may be repeated.",
)
@click.option("--description", help="What it is for.")
@click.option("--secret", metavar="TEXT|-", envvar="REBYTE_WEBHOOK_SECRET", help="A secret that deliveries repeat.")
@json_option
@id_option
def create(*, url: str, events: tuple[str, ...], secret: str | None, as_json: bool, quiet: bool, **more: Any) -> int:
    """Have URL told of what becomes of every task of the organization."""
    style = style_of(as_json=as_json, quiet=quiet)
    doubt = "a webhook may have been registered: look at rebyte-async webhooks list"
    hidden = None if secret is None else text_of(secret).rstrip("\r\n")

    async def call(client: AsyncRebyte) -> int:
        try:
            webhook = await client.webhooks.create(url, events, secret=hidden, **more)
        except TransportError as error:
            if not isinstance(error, ConnectError):
                error.add_note(doubt)
            raise
        show_made(webhook, style)
        return Exit.OK

    return run_once(call, interrupted=doubt)


@webhooks.command()
@webhook_argument
@yes_option
def delete(*, webhook_id: str, yes: bool) -> int:
    """Remove webhook WEBHOOK_ID. On a terminal it asks first."""
    if not agrees(f"Remove webhook {webhook_id}?", yes=yes):
        return Exit.OTHER
    return do_once(lambda client: client.webhooks.delete(webhook_id), f"webhook {webhook_id} is deleted")


@webhooks.command("public-key")
@json_option
def public_key(*, as_json: bool) -> int:
    """Print the public key of the deliveries' signature, in PEM."""

    async def call(client: AsyncRebyte) -> int:
        key = await client.webhooks.public_key()
        sys.stdout.write(as_line({"public_key": key}) + "\n" if as_json else clean(key).rstrip("\n") + "\n")
        return Exit.OK

    return run_once(call)
