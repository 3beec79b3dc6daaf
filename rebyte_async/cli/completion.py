"""Shell completion: `rebyte-async completion`, and the ids that a shell can complete."""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from rebyte_async.cli.exits import Exit
from rebyte_async.cli.view.clean import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async import AsyncRebyte

    Pairs = list[tuple[str, str | None]]
    """What can be completed, and what it is."""

__all__ = [
    "ANSWERS_SHELL",
    "artifact_argument",
    "complete_computer",
    "complete_task",
    "completion",
    "computer_argument",
    "task_argument",
    "webhook_argument",
    "workspace_argument",
]

ANSWERS_SHELL = "_REBYTE_ASYNC_COMPLETE"
"""The environment variable by which a shell asks."""
_PATIENCE = 2.0
"""Seconds that somebody who pressed Tab waits for ids."""

_EPILOG = """\b
Install it for good:
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


async def _tasks(client: AsyncRebyte) -> Pairs:
    return [(task.id, task.title or task.status) for task in (await client.tasks.list(limit=100)).data]


async def _computers(client: AsyncRebyte) -> Pairs:
    return [(item.id, item.name) for item in (await client.agent_computers.list(limit=100)).data]


async def _webhooks(client: AsyncRebyte) -> Pairs:
    return [(webhook.id, webhook.url) for webhook in (await client.webhooks.list()).data]


def complete_computer(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of agent computers."""
    del context, parameter
    return _complete(_computers, incomplete)


def complete_task(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of tasks."""
    del context, parameter
    return _complete(_tasks, incomplete)


def _complete_webhook(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del context, parameter
    return _complete(_webhooks, incomplete)


def _complete_artifact(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del parameter
    workspace_id = context.params.get("workspace_id")

    async def names(client: AsyncRebyte) -> Pairs:
        if not isinstance(workspace_id, str):
            return []
        return [(artifact.name, artifact.content_type) for artifact in (await client.artifacts.list(workspace_id)).data]

    return _complete(names, incomplete)


def _complete(find: Callable[[AsyncRebyte], Awaitable[Pairs]], incomplete: str) -> list[CompletionItem]:
    """Ask the API, and let nothing that goes wrong disturb the line that is being typed."""
    found: Pairs = []
    with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        found = asyncio.run(_found(find))
    return [
        CompletionItem(word, help=one_line(about or "", 60) or None)
        for word, about in found
        if word.startswith(incomplete) and word.isprintable()
    ]


async def _found(find: Callable[[AsyncRebyte], Awaitable[Pairs]]) -> Pairs:
    from rebyte_async import AsyncRebyte, RetryPolicy  # noqa: PLC0415 - it takes time, and few commands are completed

    async with asyncio.timeout(_PATIENCE), AsyncRebyte(retry=RetryPolicy(max_attempts=1)) as client:
        return await find(client)


task_argument: Callable[[Any], Any] = click.argument("task_id", shell_complete=complete_task)
computer_argument: Callable[[Any], Any] = click.argument("computer_id", shell_complete=complete_computer)
workspace_argument: Callable[[Any], Any] = click.argument("workspace_id", shell_complete=complete_computer)
webhook_argument: Callable[[Any], Any] = click.argument("webhook_id", shell_complete=_complete_webhook)
artifact_argument: Callable[[Any], Any] = click.argument("name", required=False, shell_complete=_complete_artifact)
