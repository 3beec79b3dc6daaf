"""`rebyte-async webhooks`: where the service delivers events of tasks."""

from __future__ import annotations

from typing import Any

import click

from rebyte_async import AsyncRebyte
from rebyte_async.cli.completion import complete_event, webhook_argument
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.lazy import Entry, LazyGroup
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.options import confirm, json_option, list_options, read_text, style_options, yes_option
from rebyte_async.cli.runtime import do_once, run_once, show_once
from rebyte_async.cli.view.json import to_json_line
from rebyte_async.cli.view.output import show_created
from rebyte_async.cli.view.table import Column
from rebyte_async.cli.view.text import one_line, sanitize
from rebyte_async.errors import ConnectError, TransportError
from rebyte_async.types import Webhook, WebhookEventName


def _join_events(events: tuple[str, ...]) -> str:
    return one_line(" ".join(event.removeprefix("task.") for event in events))


_COLUMNS: tuple[Column[Webhook], ...] = (
    Column(heading="ID", of=lambda webhook: webhook.id),
    Column(heading="ACTIVE", of=lambda webhook: webhook.is_active, rank=2),
    Column(heading="FAILURES", of=lambda webhook: webhook.failure_count, rank=4, is_number=True),
    Column(heading="LAST", of=lambda webhook: webhook.last_triggered_at, rank=5),
    Column(heading="URL", of=lambda webhook: webhook.url, is_flexible=True),
    Column(heading="EVENTS", of=lambda webhook: webhook.events, format=_join_events, rank=3, is_flexible=True),
)

_CREATE_EPILOG = """\b
Example:
  rebyte-async webhooks create https://example.com/hook -e task.failed --secret - < secret.txt

A secret on the command line can be seen by others on this machine: - reads it from stdin, and the environment
variable REBYTE_WEBHOOK_SECRET gives it too. It is never printed.
"""

# Imported when it runs, since it is the one that imports aiohttp's server.
_LAZY = {"listen": Entry("listen:listen", "Show deliveries as they come, until Ctrl-C.")}


@click.group(cls=LazyGroup, sections={"Commands": _LAZY})
def webhooks() -> None:
    """Webhooks: register, read, delete, listen; the key that signs them."""


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
    help=f"An event to deliver: {', '.join(WebhookEventName)}; may be repeated.",
)
@click.option("--description", help="What it is for.")
@click.option("--secret", metavar="TEXT|-", envvar="REBYTE_WEBHOOK_SECRET", help="A secret that deliveries repeat.")
@style_options()
def create(*, url: str, events: tuple[str, ...], secret: str | None, style: str | None, **options: Any) -> int:
    """Have events of all tasks of the organization delivered to URL."""
    fate = "a webhook may have been registered: look at rebyte-async webhooks list"
    hidden = None if secret is None else read_text(secret).rstrip("\r\n")

    async def call(client: AsyncRebyte) -> int:
        try:
            webhook = await client.webhooks.create(url, events, secret=hidden, **options)
        except TransportError as error:
            if not isinstance(error, ConnectError):
                error.add_note(fate)
            raise
        show_created(webhook, style)
        return Exit.OK

    return run_once(call, on_interrupt=fate)


@webhooks.command()
@webhook_argument
@yes_option
def delete(*, webhook_id: str, yes: bool) -> int:
    """Remove webhook WEBHOOK_ID. On a terminal it asks first."""
    if not confirm(f"Remove webhook {webhook_id}?", yes=yes):
        return Exit.OTHER
    return do_once(lambda client: client.webhooks.delete(webhook_id), f"webhook {webhook_id} is deleted")


@webhooks.command("public-key")
@json_option
def public_key(*, as_json: bool) -> int:
    """Print the public key of the deliveries' signature, in PEM."""

    async def call(client: AsyncRebyte) -> int:
        key = await client.webhooks.public_key()
        click.echo(to_json_line({"public_key": key}) if as_json else sanitize(key).rstrip("\n"))
        return Exit.OK

    return run_once(call)
