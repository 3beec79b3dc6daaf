"""Options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rebyte_async.cli.completion import complete_computer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "files_option",
    "id_option",
    "json_option",
    "list_options",
    "new_task_options",
    "skills_option",
    "style_of",
    "style_options",
    "text_of",
    "timeout_option",
    "wait_option",
]

_F = TypeVar("_F", bound="Callable[..., Any]")

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
id_option: Callable[[Any], Any] = click.option("--quiet", "-q", is_flag=True, help="Print the id alone.")
skills_option: Callable[[Any], Any] = click.option(
    "--skill", "skills", multiple=True, help="A skill such as pdf; may be repeated."
)
files_option: Callable[[Any], Any] = click.option(
    "--file",
    "paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="A file to upload for the agent, who finds it in /code; may be repeated.",
)


def style_options(command: _F) -> _F:
    """Add `--json` and `--quiet`."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Print the final answer alone.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
    return as_json(quiet(command))


def style_of(*, as_json: bool, quiet: bool) -> str | None:
    """The view that the options ask for; None for the one that fits stdout."""
    if as_json and quiet:
        raise click.UsageError("--json and --quiet don't go together")
    return "json" if as_json else "quiet" if quiet else None


def new_task_options(command: _F) -> _F:
    """Add the options of a new task."""
    options = (
        click.option("--executor", help="The coding agent: claude, gemini, codex, opencode, ..."),
        click.option("--model", help="The model that it uses."),
        click.option(
            "--workspace-id",
            metavar="ID",
            shell_complete=complete_computer,
            help="An agent computer to run on; a new one if not given.",
        ),
        click.option("--github-url", metavar="OWNER/REPO", help="A repository to check out."),
        click.option("--branch", "branch_name", help="Its branch."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def timeout_option(command: _F) -> _F:
    """Add `--timeout` to a command that watches."""
    return click.option("--timeout", type=_Seconds, metavar="SECONDS", help="Stop watching after so long.")(command)


def wait_option(command: _F) -> _F:
    """Add `--timeout` to a command that waits."""
    return click.option("--timeout", type=_Seconds, metavar="SECONDS", help="Stop waiting after so long.")(command)


def list_options(limit: int | None) -> Callable[[_F], _F]:
    """Add `--limit`, `--all` and `--json`.

    Args:
        limit: How many there are without an option; None for all.
    """

    def add(command: _F) -> _F:
        count = click.option(
            "--limit",
            type=click.IntRange(min=1),
            default=limit,
            show_default=limit is not None,
            metavar="N",
            help="List so many at most.",
        )
        everything = click.option("--all", "is_all", is_flag=True, help="List them all." if limit else "The default.")
        line = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
        return count(everything(line(command)))

    return add


def text_of(given: str) -> str:
    """A text that was given as an argument; `-` reads it from stdin."""
    return sys.stdin.buffer.read().decode(errors="replace") if given == "-" else given


_Seconds = click.FloatRange(min=0, min_open=True)
