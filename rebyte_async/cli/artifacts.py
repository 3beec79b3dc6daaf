"""`rebyte-async artifacts`: the files that tasks leave in their workspaces."""

from __future__ import annotations

import asyncio
import mimetypes
import shlex
import sys
from contextlib import aclosing
from pathlib import Path

import click

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import is_terminal, sanitize
from rebyte_async.cli.completion import artifact_argument, workspace_argument
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.options import EXISTING_FILE, json_option, list_options, yes_option
from rebyte_async.cli.runtime import delete_once, run_once
from rebyte_async.cli.transfers import download_all, join_names, local_errors, read_sizes
from rebyte_async.cli.view import make_transfer_view
from rebyte_async.cli.view.base import Downloaded
from rebyte_async.cli.view.json import to_json_line
from rebyte_async.cli.view.output import show_items
from rebyte_async.cli.view.table import Column
from rebyte_async.cli.view.text import format_plain, format_size
from rebyte_async.types import Artifact, UploadUrl

_COLUMNS: tuple[Column[Artifact], ...] = (
    Column(heading="NAME", of=lambda artifact: artifact.filename),
    Column(heading="SIZE", of=lambda artifact: artifact.size, format=format_size, rank=1, is_number=True),
    Column(heading="TYPE", of=lambda artifact: artifact.content_type, rank=3, is_flexible=True),
    Column(heading="CHANGED", of=lambda artifact: artifact.updated_at or artifact.created_at, rank=2),
)
_DOWNLOADED: tuple[Column[Downloaded], ...] = (
    Column(heading="FILE", of=lambda done: done.path),
    Column(heading="SIZE", of=lambda done: done.size, format=format_size, rank=1, is_number=True),
)

_DOWNLOAD_EPILOG = """\b
Examples:
  rebyte-async artifacts download 9f2e... report.md
  rebyte-async artifacts download 9f2e... report.md -o - | less
  rebyte-async artifacts download 9f2e... --all -o results

A download is whole or absent. A file that you name is replaced; with --all none is replaced without --force.
"""


@click.group()
def artifacts() -> None:
    """Artifacts, the files that tasks leave: list, download, upload, delete.

    WORKSPACE_ID is a task's workspace_id, which is the id of the agent computer that it ran on.
    """


@artifacts.command("list")
@workspace_argument
@list_options(None)
def list_artifacts(*, workspace_id: str, limit: int | None, is_all: bool, as_json: bool) -> int:
    """List the artifacts of workspace WORKSPACE_ID."""
    return list_once(
        lambda client, _size: client.artifacts.list(workspace_id),
        _COLUMNS,
        limit=None if is_all else limit,
        as_json=as_json,
        empty="no artifacts",
    )


@artifacts.command("download", epilog=_DOWNLOAD_EPILOG)
@workspace_argument
@artifact_argument
@click.option("--all", "is_all", is_flag=True, help="Download all of them, into a folder.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path(),
    help="The file or the folder; - for stdout. The current folder if not given.",
)
@click.option("--force", is_flag=True, help="With --all, replace files that exist.")
@json_option
def download_artifacts(
    *, workspace_id: str, name: str | None, is_all: bool, output: Path, force: bool, as_json: bool
) -> int:
    """Download artifact NAME of workspace WORKSPACE_ID, or all of them."""
    _check_choice(name, is_all=is_all)
    if is_all and output == Path("-"):
        raise click.UsageError("--all needs a folder")

    async def call(client: AsyncRebyte) -> None:
        if name is not None and output == Path("-"):
            await _write_to_stdout(client, workspace_id, name)
            return
        view = make_transfer_view()
        if name is not None:
            with local_errors(output), view.transfer(name, "downloaded"):
                path = await client.artifacts.download(workspace_id, name, output, progress=view.update)
            downloaded = await read_sizes({path: name})
        else:
            downloaded = await download_all(client, workspace_id, output, overwrite=force, view=view)
        show_items(downloaded, _DOWNLOADED, as_json=as_json, empty="no artifacts")

    return run_once(call, on_interrupt="files that weren't complete were removed")


async def _write_to_stdout(client: AsyncRebyte, workspace_id: str, name: str) -> None:
    async with aclosing(client.artifacts.stream(workspace_id, name)) as chunks:
        async for chunk in chunks:
            await asyncio.to_thread(sys.stdout.buffer.write, chunk)
    await asyncio.to_thread(sys.stdout.buffer.flush)


@artifacts.command("upload")
@workspace_argument
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=EXISTING_FILE)
@json_option
def upload_artifacts(*, workspace_id: str, paths: tuple[Path, ...], as_json: bool) -> int:
    """Upload files to workspace WORKSPACE_ID; one of the same name is replaced."""

    async def call(client: AsyncRebyte) -> None:
        view = make_transfer_view()
        with view.transfer(join_names([path.name for path in paths]), "uploaded"):
            uploaded = await client.artifacts.upload(workspace_id, *paths, progress=view.update)
        show_items(uploaded, _COLUMNS, as_json=as_json)

    return run_once(call, on_interrupt="some of the files may be there")


@artifacts.command("delete")
@workspace_argument
@artifact_argument
@click.option("--all", "is_all", is_flag=True, help="Delete all of them.")
@yes_option
def delete_artifacts(*, workspace_id: str, name: str | None, is_all: bool, yes: bool) -> int:
    """Delete artifact NAME of workspace WORKSPACE_ID, or all of them. On a terminal it asks first."""
    _check_choice(name, is_all=is_all)

    async def delete(client: AsyncRebyte) -> None:
        if name is None:
            await client.artifacts.delete_all(workspace_id)
        else:
            await client.artifacts.delete(workspace_id, name)

    what, has = ("all artifacts", "are") if name is None else (f"artifact {name}", "is")
    what = f"{what} of workspace {workspace_id}"
    return delete_once(delete, f"Delete {what}?", f"{what} {has} deleted", yes=yes, is_yes_required=is_all)


@artifacts.command()
@workspace_argument
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--content-type", metavar="TYPE", help="The media type; guessed by the name if not given.")
@json_option
def url(*, workspace_id: str, names: tuple[str, ...], content_type: str | None, as_json: bool) -> int:
    """Get signed URLs to upload artifacts called NAME by other means. Everyone who has one can upload with it."""
    files = [(name, content_type or mimetypes.guess_type(name)[0] or "application/octet-stream") for name in names]

    async def call(client: AsyncRebyte) -> None:
        for signed in await client.artifacts.upload_urls(workspace_id, files):
            # The user asked for the address, though it is a secret elsewhere.
            line = {"filename": signed.filename, "content_type": signed.content_type, "upload_url": signed.upload_url}
            if as_json:
                click.echo(to_json_line(line))
            elif is_terminal(sys.stdout):
                click.echo(_format_curl(signed))
            else:
                click.echo("\t".join(map(format_plain, line.values())))

    return run_once(call)


def _check_choice(name: str | None, *, is_all: bool) -> None:
    if (name is None) != is_all:
        raise click.UsageError("give the NAME of an artifact, or --all")


def _format_curl(signed: UploadUrl) -> str:
    kind = shlex.quote(f"Content-Type: {signed.content_type}")
    return sanitize(f"curl -T {shlex.quote(signed.filename)} -H {kind} {shlex.quote(signed.upload_url)}")
