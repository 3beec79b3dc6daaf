"""A group of commands whose modules are imported when they are needed, so that help and completion are fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from attrs import frozen
from click.shell_completion import CompletionItem


@frozen
class Entry:
    """A command that isn't imported yet."""

    target: str  # the module in `rebyte_async.cli`, a colon, and the name of the command in it
    help: str  # what the command does, as its group's help says it: the command's own first sentence

    def load(self) -> click.Command:
        module, _, name = self.target.partition(":")
        command: click.Command = getattr(import_module(f"rebyte_async.cli.{module}"), name)
        command.help = command.help or self.help  # `python -OO` leaves no docstrings
        return command


class LazyGroup(click.Group):
    """A group that lists its commands without importing any, and imports the one that runs."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self.entries = {name: entry for entries in sections.values() for name, entry in entries.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of the base class
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        for title, entries in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [name for name in self.entries if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=self.entries[name].help) for name in found),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]
