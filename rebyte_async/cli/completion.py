"""Shell completion: `rebyte-async completion`, and the ids that a shell can complete."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, TypeAlias, TypeVar, get_args

import click
from click.shell_completion import CompletionItem, get_completion_class

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async._terminal import one_line
from rebyte_async.cli.runtime import network_settings
from rebyte_async.types import Executor, Page, WebhookEventName

T = TypeVar("T")
Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"

ANSWERS_SHELL = "_REBYTE_ASYNC_COMPLETE"  # the environment variable by which a shell asks for completions
_TIME_LIMIT = 2.0  # seconds that a user who pressed Tab waits for ids

_EPILOG = """\b
Install it permanently:
  bash   rebyte-async completion bash > ~/.local/share/bash-completion/completions/rebyte-async
  zsh    rebyte-async completion zsh > "${fpath[1]}/_rebyte-async"
  fish   rebyte-async completion fish > ~/.config/fish/completions/rebyte-async.fish

\b
Try it in this shell:
  source <(rebyte-async completion bash)

Ids are completed too: they are asked from the API, which takes a moment.
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print what makes SHELL complete this command."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "rebyte-async", ANSWERS_SHELL).source())


def _open_client() -> AsyncRebyte:
    return AsyncRebyte(retry=RetryPolicy(max_attempts=1), **network_settings())


def _completer(
    read: Callable[[AsyncRebyte, click.Context], Awaitable[Page[T]]], describe: Callable[[T], tuple[str, str | None]]
) -> Completer:
    """Return a completer that asks the API; a failure must not disturb the line that is being typed.

    An item of the page that is read is described by the word that it completes, and what it is.
    """

    async def ask(context: click.Context) -> list[tuple[str, str | None]]:
        async with asyncio.timeout(_TIME_LIMIT), _open_client() as client:
            return [describe(item) for item in (await read(client, context)).data]

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del parameter
        found: list[tuple[str, str | None]] = []
        with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            found = asyncio.run(ask(context))
        return [
            CompletionItem(word, help=one_line(about or "", 60) or None)
            for word, about in found
            if word.startswith(incomplete) and word.isprintable()
        ]

    return complete


def complete_event(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(name)) for name in WebhookEventName if name.startswith(incomplete)]


def complete_executor(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    known = get_args(get_args(Executor)[0])
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


complete_task = _completer(
    lambda client, _: client.tasks.list(limit=100), lambda task: (task.id, task.title or task.status)
)
complete_computer = _completer(
    lambda client, _: client.agent_computers.list(limit=100), lambda computer: (computer.id, computer.name)
)
_complete_webhook = _completer(lambda client, _: client.webhooks.list(), lambda webhook: (webhook.id, webhook.url))
_complete_artifact = _completer(
    lambda client, context: client.artifacts.list(context.params["workspace_id"]),
    lambda artifact: (artifact.filename, artifact.content_type),
)
task_argument: Callable[[Any], Any] = click.argument("task_id", shell_complete=complete_task)
computer_argument: Callable[[Any], Any] = click.argument("computer_id", shell_complete=complete_computer)
workspace_argument: Callable[[Any], Any] = click.argument("workspace_id", shell_complete=complete_computer)
webhook_argument: Callable[[Any], Any] = click.argument("webhook_id", shell_complete=_complete_webhook)
artifact_argument: Callable[[Any], Any] = click.argument("name", required=False, shell_complete=_complete_artifact)
