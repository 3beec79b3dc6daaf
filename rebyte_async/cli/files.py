"""`rebyte-async files`: files for agents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rebyte_async import AsyncRebyte
from rebyte_async.cli.options import EXISTING_FILE_OR_STDIN, open_stdin, style_options
from rebyte_async.cli.runtime import run_once
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_transfer_view
from rebyte_async.cli.view.output import show_items
from rebyte_async.cli.view.table import Column
from rebyte_async.cli.view.text import format_file_ref, format_plain
from rebyte_async.types import Attachment, FileRef

_COLUMNS: tuple[Column[FileRef], ...] = (
    Column(heading="ID", of=lambda ref: ref.id),
    Column(heading="FILENAME", of=lambda ref: ref.filename, is_flexible=True),
)

_EPILOG = """\b
Examples:
  rebyte-async files upload data.csv spec.md
  pg_dump shop | rebyte-async files upload - --filename shop.sql

A task gets its files in one go with rebyte-async run --file, or tasks create --file. To use one more than once:

\b
  ref=$(rebyte-async files upload -q data.csv)
  rebyte-async run "Summarise data.csv" --file-ref "$ref"
"""


@click.group()
def files() -> None:
    """Files to attach to tasks: upload."""


@files.command(epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=EXISTING_FILE_OR_STDIN)
@click.option("--filename", metavar="NAME", help="The file's name where it is read from stdin.")
@style_options(quiet="Print only what --file-ref takes, one a line.")
def upload(*, paths: tuple[Path, ...], filename: str | None, style: str | None) -> int:
    """Upload files; - is stdin, which needs --filename."""
    is_stdin = Path("-") in paths
    if is_stdin != (filename is not None) or (is_stdin and len(paths) > 1):
        raise click.UsageError("--filename goes with - alone, and - with --filename")
    sources: Sequence[Attachment] = paths if filename is None else [(filename, open_stdin())]

    async def call(client: AsyncRebyte) -> None:
        refs = await upload_files(client, sources, make_transfer_view(quiet=style == "quiet"))
        if style == "quiet":
            click.echo("\n".join(format_plain(format_file_ref(ref)) for ref in refs))
        else:
            show_items(refs, _COLUMNS, as_json=style == "json")

    return run_once(call, on_interrupt="nothing is attached to any task")
