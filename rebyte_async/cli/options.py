"""Options that several commands have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rebyte_async.cli.completion import complete_computer
from rebyte_async.resources.options import OPTIONS
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "NEW_TASK_FLAGS",
    "as_option",
    "files_options",
    "id_option",
    "json_option",
    "list_options",
    "new_task_options",
    "offset_option",
    "prompt_of",
    "skills_option",
    "style_of",
    "style_options",
    "text_of",
    "timeout_option",
    "wait_option",
]

_F = TypeVar("_F", bound="Callable[..., Any]")

NEW_TASK_FLAGS = {
    name: "--branch" if name == "branch_name" else f"--{name.replace('_', '-')}"
    for name, option in OPTIONS.items()
    if option.is_text
}
"""The flags of a new task's options, by the names that `client.tasks.create` has for them."""
_PRESENTATION: dict[str, dict[str, Any]] = {
    "workspace_id": {"metavar": "ID", "shell_complete": complete_computer},
    "github_url": {"metavar": "OWNER/REPO"},
}

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
id_option: Callable[[Any], Any] = click.option("--quiet", "-q", is_flag=True, help="Print the id alone.")
offset_option: Callable[[Any], Any] = click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Pass over so many."
)
skills_option: Callable[[Any], Any] = click.option(
    "--skill", "skills", multiple=True, help="A skill such as pdf; may be repeated."
)


def _file_ref(value: str) -> FileRef:
    """A file that was uploaded before, as `files upload -q` prints it."""
    file_id, _, filename = value.partition("=")
    if not file_id.strip() or not filename.strip():
        raise click.BadParameter(f"{value!r:.80} is not ID=FILENAME, as rebyte-async files upload -q prints it")
    return FileRef(file_id, filename)


def as_option(ref: FileRef) -> str:
    """An uploaded file as `--file-ref` takes it."""
    return f"{ref.id}={ref.filename}"


def files_options(command: _F) -> _F:
    """Add `--file` and `--file-ref`."""
    paths = click.option(
        "--file",
        "paths",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        help="A file to upload for the agent, who finds it in /code; may be repeated.",
    )
    refs = click.option(
        "--file-ref",
        "refs",
        multiple=True,
        type=_file_ref,
        metavar="ID=FILENAME",
        help="A file that was uploaded before, as files upload -q prints it; may be repeated.",
    )
    return paths(refs(command))


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
    """Add the options of a new task, as `TaskOptions` lists them; files and skills have options for single ones."""
    for name, flag in reversed(NEW_TASK_FLAGS.items()):
        command = click.option(flag, name, help=OPTIONS[name].summary, **_PRESENTATION.get(name, {}))(command)
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


def prompt_of(given: str) -> str:
    """A prompt that was given as an argument; `-` reads it from stdin. Nothing is uploaded for an empty one."""
    text = text_of(given)
    if not text.strip():
        raise click.UsageError("PROMPT is empty")
    return text


def text_of(given: str) -> str:
    """A text that was given as an argument; `-` reads it from stdin."""
    return sys.stdin.buffer.read().decode(errors="replace") if given == "-" else given


_Seconds = click.FloatRange(min=0, min_open=True)
