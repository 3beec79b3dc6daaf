"""Uploads and downloads, with their progress shown."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line
from rebyte_async.cli.view.base import Downloaded
from rebyte_async.cli.view.progress import TransferView
from rebyte_async.errors import RebyteError
from rebyte_async.types import Attachment, FileRef


class LocalFileError(RebyteError):
    """A file of this machine can't be written."""


async def upload_files(client: AsyncRebyte, attachments: Sequence[Attachment], view: TransferView) -> Sequence[FileRef]:
    """Upload the attachments of a task or a prompt that aren't uploaded yet; return them all."""
    names = [_name(item) for item in attachments if not isinstance(item, FileRef)]
    if not names:
        return await client.files.upload_all(attachments)
    with view.transfer(join_names(names), "uploaded"):
        return await client.files.upload_all(attachments, progress=view.update)


async def download_all(
    client: AsyncRebyte, workspace_id: str, folder: Path, *, overwrite: bool, view: TransferView
) -> list[Downloaded]:
    """Download all artifacts of a workspace into a folder."""
    names = {item.local_name: item.filename async for item in client.artifacts.list(workspace_id)}
    with local_errors(folder), view.transfer("all artifacts", "downloaded"):
        paths = await client.artifacts.download_all(workspace_id, folder, overwrite=overwrite, progress=view.update)
    return await read_sizes({path: names.get(path.name, path.name) for path in paths})


async def read_sizes(names: dict[Path, str]) -> list[Downloaded]:
    """Describe files that were downloaded, by the names of their artifacts."""

    def read() -> list[Downloaded]:
        return [Downloaded(name=name, path=str(path), size=path.stat().st_size) for path, name in names.items()]

    return await asyncio.to_thread(read)


def _name(item: Attachment) -> str:
    return item[0] if isinstance(item, tuple) else str(getattr(item, "name", ""))


def join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files"


@contextmanager
def local_errors(target: Path) -> Generator[None]:
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
