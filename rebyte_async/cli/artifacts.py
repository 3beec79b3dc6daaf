"""`rebyte-async artifacts`: the files that tasks leave in their workspaces."""

from __future__ import annotations

import asyncio
import mimetypes
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import frozen

from rebyte_async.cli import transfers
from rebyte_async.cli.ask import agrees, yes_option
from rebyte_async.cli.completion import artifact_argument, workspace_argument
from rebyte_async.cli.exits import Exit
from rebyte_async.cli.listing import list_once
from rebyte_async.cli.once import do_once, run_once
from rebyte_async.cli.options import json_option, list_options
from rebyte_async.cli.transfers import download, download_all, write_to_stdout
from rebyte_async.cli.view.bars import make_bars
from rebyte_async.cli.view.clean import clean
from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.view.human import flat, size
from rebyte_async.cli.view.screens import is_screen
from rebyte_async.cli.view.table import Column, show_items

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte
    from rebyte_async.types.artifacts import Artifact, UploadUrl

__all__ = ["artifacts"]


@frozen(kw_only=True)
class Downloaded:
    """What a download came to."""

    name: str
    """The artifact."""
    path: str
    """The file."""
    size: int
    """Its size in bytes."""


_COLUMNS: tuple[Column[Artifact], ...] = (
    Column(heading="NAME", of=lambda artifact: artifact.name),
    Column(heading="SIZE", of=lambda artifact: artifact.size, human=size, rank=1, is_number=True),
    Column(heading="TYPE", of=lambda artifact: artifact.content_type, rank=3, is_flexible=True),
    Column(heading="CHANGED", of=lambda artifact: artifact.updated_at or artifact.created_at, rank=2),
)
_DOWNLOADED: tuple[Column[Downloaded], ...] = (
    Column(heading="FILE", of=lambda done: done.path),
    Column(heading="SIZE", of=lambda done: done.size, human=size, rank=1, is_number=True),
)

_DOWNLOAD_EPILOG = """\b
Examples:
  rebyte-async artifacts download 9f2e... report.md
  rebyte-async artifacts download 9f2e... report.md -o - | less
  rebyte-async artifacts download 9f2e... --all -o results

A file is there whole or not at all. One that you name is replaced; with --all none of yours is, without --force.
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
    help="The file or the folder; - for stdout. The folder that you are in if not given.",
)
@click.option("--force", is_flag=True, help="With --all, replace files that are there.")
@json_option
def download_artifacts(
    *, workspace_id: str, name: str | None, is_all: bool, output: Path, force: bool, as_json: bool
) -> int:
    """Download artifact NAME of workspace WORKSPACE_ID, or all of them."""
    _check_choice(name, is_all=is_all)
    if is_all and output == Path("-"):
        raise click.UsageError("--all needs a folder")

    async def call(client: AsyncRebyte) -> int:
        if name is not None and output == Path("-"):
            await write_to_stdout(client, workspace_id, name)
            return Exit.OK
        if name is not None:
            paths = {await download(client, workspace_id, name, output, make_bars()): name}
        else:
            names = {item.local_name: item.name async for item in client.artifacts.list(workspace_id)}
            every = await download_all(client, workspace_id, output, make_bars(), overwrite=force)
            paths = {path: names.get(path.name, path.name) for path in every}
        show_items(await asyncio.to_thread(_downloaded, paths), _DOWNLOADED, as_json=as_json, empty="no artifacts")
        return Exit.OK

    return run_once(call, interrupted="what had not come whole was not kept")


def _downloaded(names: dict[Path, str]) -> list[Downloaded]:
    return [Downloaded(name=name, path=str(path), size=path.stat().st_size) for path, name in names.items()]


@artifacts.command("upload")
@workspace_argument
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@json_option
def upload_artifacts(*, workspace_id: str, paths: tuple[Path, ...], as_json: bool) -> int:
    """Upload files to workspace WORKSPACE_ID; one of the same name is replaced."""

    async def call(client: AsyncRebyte) -> int:
        made = await transfers.upload_artifacts(client, workspace_id, paths, make_bars())
        show_items(made, _COLUMNS, as_json=as_json, empty="")
        return Exit.OK

    return run_once(call, interrupted="some of the files may be there")


@artifacts.command("delete")
@workspace_argument
@artifact_argument
@click.option("--all", "is_all", is_flag=True, help="Delete all of them.")
@yes_option
def delete_artifacts(*, workspace_id: str, name: str | None, is_all: bool, yes: bool) -> int:
    """Delete artifact NAME of workspace WORKSPACE_ID, or all of them. On a terminal it asks first."""
    _check_choice(name, is_all=is_all)
    what = f"artifact {name}" if name is not None else "all artifacts"
    if not agrees(f"Delete {what} of workspace {workspace_id}?", yes=yes, must_say_so=is_all):
        return Exit.OTHER
    if name is None:
        return do_once(
            lambda client: client.artifacts.delete_all(workspace_id), f"{what} of workspace {workspace_id} are deleted"
        )
    return do_once(
        lambda client: client.artifacts.delete(workspace_id, name), f"{what} of workspace {workspace_id} is deleted"
    )


@artifacts.command()
@workspace_argument
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--content-type", metavar="TYPE", help="The media type; guessed by the name if not given.")
@json_option
def url(*, workspace_id: str, names: tuple[str, ...], content_type: str | None, as_json: bool) -> int:
    """Get signed URLs to upload artifacts called NAME by other means. Who has one can upload with it."""
    files = [(name, content_type or mimetypes.guess_type(name)[0] or "application/octet-stream") for name in names]

    async def call(client: AsyncRebyte) -> int:
        for made in await client.artifacts.upload_urls(workspace_id, files):
            # The address is what was asked for, though it is a secret elsewhere.
            line = {"name": made.name, "content_type": made.content_type, "upload_url": made.upload_url}
            if as_json:
                click.echo(as_line(line))
            else:
                click.echo(_how_to_put(made) if is_screen(sys.stdout) else "\t".join(map(flat, line.values())))
        return Exit.OK

    return run_once(call)


def _check_choice(name: str | None, *, is_all: bool) -> None:
    if (name is None) != is_all:
        raise click.UsageError("give the NAME of an artifact, or --all")


def _how_to_put(made: UploadUrl) -> str:
    kind = shlex.quote(f"Content-Type: {made.content_type}")
    return clean(f"curl -T {shlex.quote(made.name)} -H {kind} {shlex.quote(made.upload_url)}")
