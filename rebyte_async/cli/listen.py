"""`rebyte-async webhooks listen`: see deliveries as they come, and pass them on to an application of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from yarl import URL

from rebyte_async.cli.once import run_main
from rebyte_async.cli.options import json_option, text_of
from rebyte_async.types.webhooks import WebhookEventName

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["complete_event", "listen"]

_EPILOG = """\b
Examples:
  rebyte-async webhooks listen --port 9000        with an emulator on this machine
  rebyte-async webhooks listen --url https://tunnel.example.com/ --forward http://127.0.0.1:8000/

The service delivers to public https addresses alone, so it takes a tunnel to this machine: --url is its address.
Without --secret one is made up for this run; with --no-register, or where the URL is registered already, deliveries are
then verified by their signature. The variable REBYTE_WEBHOOK_SECRET gives a secret too. None is ever printed.
"""


def complete_event(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem | str]:
    """The names of events that begin so."""
    del context, parameter
    return [str(name) for name in WebhookEventName if name.startswith(incomplete)]


def _http_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        url = URL(value)
        is_right = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        is_right = False
    if not is_right:
        raise click.BadParameter(f"{value!r:.200} is no http or https URL")
    return value


@click.command(epilog=_EPILOG)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--url", callback=_http_url, help="Where the service delivers; this machine's own address if not given.")
@click.option(
    "--event",
    "--events",
    "-e",
    "events",
    multiple=True,
    default=tuple(str(name) for name in WebhookEventName),
    shell_complete=complete_event,
    help="What to be told of; may be repeated.  [default: everything]",
)
@click.option("--secret", metavar="TEXT|-", envvar="REBYTE_WEBHOOK_SECRET", help="The secret that deliveries repeat.")
@click.option("--signature", is_flag=True, help="Check the signature beside the secret (its form is a guess).")
@click.option("--forward", metavar="URL", callback=_http_url, help="Pass verified deliveries on to this address.")
@click.option("--no-register", is_flag=True, help="Listen alone: the webhook is registered already.")
@json_option
def listen(*, secret: str | None, events: tuple[str, ...], no_register: bool, as_json: bool, **more: Any) -> int:
    """Show deliveries as they come, until Ctrl-C.

    It registers a webhook, and removes it at the end.
    """
    from rebyte_async.cli.listener import Listener, Wanted  # noqa: PLC0415 - aiohttp's server takes time to import

    hidden = None if secret is None else text_of(secret).rstrip("\r\n")
    wanted = Wanted(secret=hidden, events=tuple(dict.fromkeys(events)), register=not no_register, **more)
    listener = Listener(wanted, as_json=as_json)
    return run_main(listener.run, interrupted=listener.left_behind)
