"""`rebyte-async webhooks`: where the service delivers events of tasks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click
from yarl import URL

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.completion import complete_event, webhook_argument
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.options import json_option, list_options, read_text, style_options, yes_option
from rebyte_async.cli.runtime import delete_once, run, run_once, say_on_interrupt, show_once
from rebyte_async.cli.view.json import to_json_line
from rebyte_async.cli.view.output import show_created
from rebyte_async.cli.view.table import Column
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

_LISTEN_EPILOG = """\b
Examples:
  rebyte-async webhooks listen --port 9000        with an emulator on this machine
  rebyte-async webhooks listen --url https://tunnel.example.com/ --forward http://127.0.0.1:8000/

The service delivers to public https addresses alone, so it takes a tunnel to this machine: --url is its address.
Without --secret the command generates one for this run. With --no-register, or where the URL is registered already,
deliveries are then verified by their signature. The variable REBYTE_WEBHOOK_SECRET gives a secret too. No secret is
ever printed.
"""


@click.group()
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
    hidden = None if secret is None else read_text(secret, "--secret").rstrip("\r\n")

    async def call(client: AsyncRebyte) -> None:
        try:
            webhook = await client.webhooks.create(url, events, secret=hidden, **options)
        except TransportError as error:
            if not isinstance(error, ConnectError):
                error.add_note(fate)
            raise
        show_created(webhook, style)

    return run_once(call, on_interrupt=fate)


@webhooks.command()
@webhook_argument
@yes_option
def delete(*, webhook_id: str, yes: bool) -> int:
    """Remove webhook WEBHOOK_ID. On a terminal it asks first."""
    return delete_once(
        lambda client: client.webhooks.delete(webhook_id),
        f"Remove webhook {webhook_id}?",
        f"webhook {webhook_id} is deleted",
        yes=yes,
    )


@webhooks.command("public-key")
@json_option
def public_key(*, as_json: bool) -> int:
    """Print the public key of the deliveries' signature, in PEM."""

    async def call(client: AsyncRebyte) -> None:
        key = await client.webhooks.public_key()
        click.echo(to_json_line({"public_key": key}) if as_json else sanitize(key).rstrip("\n"))

    return run_once(call)


def _check_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    with suppress(ValueError):
        if value is None or (URL(value).scheme in {"http", "https"} and URL(value).host):
            return value
    raise click.BadParameter(f"{value!r:.200} is not an http or https URL")


@webhooks.command(epilog=_LISTEN_EPILOG)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--url", callback=_check_url, help="Where the service delivers; this machine's own address if not given.")
@click.option(
    "--event",
    "--events",
    "-e",
    "events",
    multiple=True,
    default=tuple(str(name) for name in WebhookEventName),
    shell_complete=complete_event,
    help="An event to deliver; may be repeated.  [default: all]",
)
@click.option("--secret", metavar="TEXT|-", envvar="REBYTE_WEBHOOK_SECRET", help="The secret that deliveries repeat.")
@click.option("--signature", is_flag=True, help="Check the signature beside the secret (its form is a guess).")
@click.option("--forward", metavar="URL", callback=_check_url, help="Forward verified deliveries to this address.")
@click.option("--no-register", is_flag=True, help="Only listen: the webhook is registered already.")
@json_option
def listen(*, secret: str | None, events: tuple[str, ...], no_register: bool, **options: Any) -> int:
    """Show deliveries as they come, until Ctrl-C.

    It registers a webhook, and removes it at the end.
    """
    from rebyte_async.cli.listen import Listener  # noqa: PLC0415 - aiohttp's server takes time, and help needs none

    hidden = None if secret is None else read_text(secret, "--secret").rstrip("\r\n")
    listener = Listener(secret=hidden, events=tuple(dict.fromkeys(events)), register=not no_register, **options)
    return run(listener.run, on_interrupt=say_on_interrupt(listener.describe_leftover))
