"""Options and arguments that several commands have."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import reduce, wraps
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import click
from attrs import frozen

from rebyte_async.cli.completion import complete_computer, complete_executor
from rebyte_async.resources.options import OPTIONS, CreateOptions
from rebyte_async.types import Attachment, FileRef

_F = TypeVar("_F", bound="Callable[..., Any]")
_Option: TypeAlias = "Callable[[Any], Any]"

NEW_TASK_FLAGS = {
    name: "--branch" if name == "branch_name" else f"--{name.replace('_', '-')}"
    for name, option in OPTIONS.items()
    if option.is_text
}
"""The flags of a new task's options, by the names that `client.tasks.create` has for them."""
_PRESENTATION: dict[str, dict[str, Any]] = {
    "executor": {"shell_complete": complete_executor},
    "workspace_id": {"metavar": "ID", "shell_complete": complete_computer},
    "github_url": {"metavar": "OWNER/REPO"},
}
EXISTING_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
EXISTING_FILE_OR_STDIN = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)
FOLDER = click.Path(file_okay=False, writable=True, path_type=Path)
ANY_FILE = click.Path(dir_okay=False, path_type=Path)
_LINE_HELP = "Print a JSON object a line, for programs."

json_option: _Option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
yes_option: _Option = click.option("--yes", "-y", is_flag=True, help="Don't ask.")


def add_options(*options: _Option) -> Callable[[_F], _F]:
    """Return a decorator that adds several options to a command, in this order."""
    return lambda command: reduce(lambda changed, option: option(changed), reversed(options), command)


batch_options: tuple[_Option, ...] = (
    click.option(
        "--concurrency", type=click.IntRange(min=1), default=32, show_default=True, help="Tasks that run at once."
    ),
    click.option(
        "--on-ambiguous",
        type=click.Choice(["reconcile", "report"]),
        default="reconcile",
        show_default=True,
        help="What to do where it isn't known whether a task was made: look for it, or report the item at once.",
    ),
    click.option(
        "--reconcile-settle",
        type=click.FloatRange(min=0),
        default=5,
        show_default=True,
        metavar="SECONDS",
        help="The time between two looks at the tasks, which must agree.",
    ),
    click.option("--cancel-remote", is_flag=True, help="Cancel the running tasks on Ctrl-C."),
)
"""The options of every command that runs items of a batch."""


def timeout_option(verb: str) -> _Option:
    """Return the option `--timeout` of a command that does what the verb says, such as `watching`."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help=f"Stop {verb} after this time.",
    )


def list_options(limit: int | None) -> Callable[[_F], _F]:
    """Add `--limit`, `--all` and `--json`; without an option all items are listed.

    For a list that the API pages, `limit` is how many are listed without an option, and `--offset` is added as well.
    """
    offset = click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Skip the first N.")
    return add_options(
        *([] if limit is None else [offset]),
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            default=limit,
            show_default=limit is not None,
            metavar="N",
            help="List N at most.",
        ),
        click.option("--all", "is_all", is_flag=True, help="List them all." if limit else "The default."),
        click.option("--json", "as_json", is_flag=True, help=_LINE_HELP),
    )


def style_options(*, json: str = "Print JSON, for programs.", quiet: str = "Print the id alone.") -> _Option:
    """Add `--json` and `--quiet`, with these helps; the command gets `style`: `json`, `quiet` or None."""

    def add(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_style(*, as_json: bool, quiet: bool, **given: Any) -> int:
            if as_json and quiet:
                raise click.UsageError("--json and --quiet don't go together")
            return command(style="json" if as_json else "quiet" if quiet else None, **given)

        return add_options(
            click.option("--json", "as_json", is_flag=True, help=json),
            click.option("--quiet", "-q", is_flag=True, help=quiet),
        )(with_style)

    return add


@frozen
class Submission:
    """A prompt with what goes with it, as the command line gives it."""

    prompt: str
    skills: tuple[str, ...]
    attachments: tuple[Attachment, ...]  # files to upload, and files that are uploaded already
    new_task: CreateOptions  # the options of a new task that are given, by their names in `client.tasks.create`


def submission_options(*, is_new_task: bool) -> _Option:
    """Add PROMPT, `--skill`, `--file`, `--file-ref` and the options of a new task; the command gets `submission`."""
    flags = NEW_TASK_FLAGS if is_new_task else {}

    def add(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_submission(
            *, prompt: str, skills: tuple[str, ...], paths: tuple[Path, ...], refs: tuple[FileRef, ...], **given: Any
        ) -> int:
            new_task = {name: value for name in flags if (value := given.pop(name)) is not None}
            text = read_text(prompt, "PROMPT")
            if not text.strip():  # found before anything is uploaded
                raise click.UsageError("PROMPT is empty")
            submission = Submission(text, skills, (*paths, *refs), cast("CreateOptions", new_task))
            return command(submission=submission, **given)

        return add_options(
            click.argument("prompt"),
            *(
                click.option(flag, name, help=OPTIONS[name].summary, **_PRESENTATION.get(name, {}))
                for name, flag in flags.items()
            ),
            click.option("--skill", "skills", multiple=True, help="A skill such as pdf; may be repeated."),
            click.option(
                "--file",
                "paths",
                multiple=True,
                type=EXISTING_FILE,
                help="A file to upload for the agent, who finds it in /code; may be repeated.",
            ),
            click.option(
                "--file-ref",
                "refs",
                multiple=True,
                type=_parse_file_ref,
                metavar="ID=FILENAME",
                help="A file that was uploaded before, as files upload -q prints it; may be repeated.",
            ),
        )(with_submission)

    return add


def _parse_file_ref(value: str) -> FileRef:
    file_id, _, filename = value.partition("=")
    if not file_id.strip() or not filename.strip():
        raise click.BadParameter(f"{value!r:.80} is not ID=FILENAME, as rebyte-async files upload -q prints it")
    return FileRef(file_id, filename)


def read_text(given: str, name: str) -> str:
    """Return the text of the argument `name`; `-` reads it from stdin, without a byte order mark."""
    if given == "-":
        return _decode(open_stdin().read(), "stdin").removeprefix("\ufeff")
    try:
        given.encode()
    except UnicodeEncodeError:  # Python couldn't decode it by the locale, which may be wrong
        return _decode(os.fsencode(given), name)
    return given


def open_stdin() -> BinaryIO:
    """Return stdin, for bytes, or refuse one that was closed before the command started."""
    if sys.stdin is None:
        raise click.UsageError("stdin is closed, so nothing can be read from it")
    return sys.stdin.buffer


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{name} isn't UTF-8 (byte {error.start + 1}): convert it first") from error
