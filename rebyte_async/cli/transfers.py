"""Uploads and downloads, with their progress shown."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from rebyte_async import AsyncRebyte
from rebyte_async.cli.view.progress import TransferView
from rebyte_async.cli.view.text import one_line
from rebyte_async.errors import RebyteError
from rebyte_async.resources.files import Attachment
from rebyte_async.types import Artifact, FileRef


class LocalFileError(RebyteError):
    """A file of this machine can't be written."""


async def upload_files(client: AsyncRebyte, attachments: Sequence[Attachment], view: TransferView) -> Sequence[FileRef]:
    """Upload the attachments of a task or a prompt that aren't uploaded yet; return them all."""
    names = [_name(item) for item in attachments if not isinstance(item, FileRef)]
    if not names:
        return await client.files.upload_all(attachments)
    with view.transfer(_join(names), "uploaded"):
        return await client.files.upload_all(attachments, progress=view.update)


async def upload_artifacts(
    client: AsyncRebyte, workspace_id: str, paths: Sequence[Path], view: TransferView
) -> Sequence[Artifact]:
    with view.transfer(_join([path.name for path in paths]), "uploaded"):
        return await client.artifacts.upload(workspace_id, *paths, progress=view.update)


def _name(item: Attachment) -> str:
    return item[0] if isinstance(item, tuple) else str(getattr(item, "name", ""))


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files"


async def download(client: AsyncRebyte, workspace_id: str, name: str, target: Path, view: TransferView) -> Path:
    """Download an artifact to a file, or into a folder."""
    with _local_errors(target), view.transfer(name, "downloaded"):
        return await client.artifacts.download(workspace_id, name, target, progress=view.update)


async def download_all(
    client: AsyncRebyte, workspace_id: str, folder: Path, view: TransferView, *, overwrite: bool
) -> Sequence[Path]:
    """Download every artifact into a folder."""
    with _local_errors(folder), view.transfer("all artifacts", "downloaded"):
        return await client.artifacts.download_all(workspace_id, folder, overwrite=overwrite, progress=view.update)


@contextmanager
def _local_errors(target: Path) -> Generator[None]:
    """Turn errors of this machine's files into `LocalFileError`."""
    try:
        yield
    except (RebyteError, BrokenPipeError):  # some errors of the SDK are OSErrors as well
        raise
    except FileExistsError as error:
        if str(error.filename) == str(target):
            raise LocalFileError(one_line(f"can't download into {target}: it is not a folder")) from error
        there = f"{error.filename} exists already; --force replaces files that exist"
        raise LocalFileError(one_line(f"nothing was downloaded: {there}")) from error
    except OSError as error:
        failure = LocalFileError(one_line(f"can't write {error.filename or target}: {error.strerror or error}"))
        for note in getattr(error, "__notes__", ()):
            failure.add_note(note)
        raise failure from error


async def write_to_stdout(client: AsyncRebyte, workspace_id: str, name: str) -> None:
    """Write an artifact's bytes to stdout, as they come."""
    async with aclosing(client.artifacts.stream(workspace_id, name)) as chunks:
        async for chunk in chunks:
            await asyncio.to_thread(sys.stdout.buffer.write, chunk)
    await asyncio.to_thread(sys.stdout.buffer.flush)
