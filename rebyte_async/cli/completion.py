"""Shell completion: `rebyte-async completion`, and the ids that a shell can complete."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem, get_completion_class

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.view.text import one_line
from rebyte_async.types import WebhookEventName

Pairs: TypeAlias = "list[tuple[str, str | None]]"
"""Words that can be completed, each with a description."""
Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"

ANSWERS_SHELL = "_REBYTE_ASYNC_COMPLETE"
"""The environment variable by which a shell asks for completions."""
_TIME_LIMIT = 2.0
"""Seconds that a user who pressed Tab waits for ids."""

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
def completion(*, shell: str) -> int:
    """Print what makes SHELL complete this command."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "rebyte-async", ANSWERS_SHELL).source())
    return Exit.OK


def _completer(find: Callable[[AsyncRebyte, click.Context], Awaitable[Pairs]]) -> Completer:
    """Return a completer that asks the API; a failure must not disturb the line that is being typed."""

    async def ask(context: click.Context) -> Pairs:
        async with asyncio.timeout(_TIME_LIMIT), AsyncRebyte(retry=RetryPolicy(max_attempts=1)) as client:
            return await find(client, context)

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del parameter
        found: Pairs = []
        with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            found = asyncio.run(ask(context))
        return [
            CompletionItem(word, help=one_line(about or "", 60) or None)
            for word, about in found
            if word.startswith(incomplete) and word.isprintable()
        ]

    return complete


async def _list_tasks(client: AsyncRebyte, _context: click.Context) -> Pairs:
    return [(task.id, task.title or task.status) for task in (await client.tasks.list(limit=100)).data]


async def _list_computers(client: AsyncRebyte, _context: click.Context) -> Pairs:
    return [(item.id, item.name) for item in (await client.agent_computers.list(limit=100)).data]


async def _list_webhooks(client: AsyncRebyte, _context: click.Context) -> Pairs:
    return [(webhook.id, webhook.url) for webhook in (await client.webhooks.list()).data]


async def _list_artifacts(client: AsyncRebyte, context: click.Context) -> Pairs:
    workspace_id = context.params["workspace_id"]
    return [(artifact.name, artifact.content_type) for artifact in (await client.artifacts.list(workspace_id)).data]


def complete_event(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(name)) for name in WebhookEventName if name.startswith(incomplete)]


complete_task = _completer(_list_tasks)
complete_computer = _completer(_list_computers)
task_argument: Callable[[Any], Any] = click.argument("task_id", shell_complete=complete_task)
computer_argument: Callable[[Any], Any] = click.argument("computer_id", shell_complete=complete_computer)
workspace_argument: Callable[[Any], Any] = click.argument("workspace_id", shell_complete=complete_computer)
webhook_argument: Callable[[Any], Any] = click.argument("webhook_id", shell_complete=_completer(_list_webhooks))
artifact_argument: Callable[[Any], Any] = click.argument(
    "name", required=False, shell_complete=_completer(_list_artifacts)
)
