"""Uploads and downloads, with how far they are."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.cli.view.clean import one_line
from rebyte_async.errors import RebyteError
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rebyte_async import AsyncRebyte
    from rebyte_async.cli.view.bars import Bar, Bars
    from rebyte_async.resources.files import Attachment
    from rebyte_async.types.artifacts import Artifact

__all__ = ["LocalFileError", "download", "download_all", "upload_artifacts", "upload_files", "write_to_stdout"]


class LocalFileError(RebyteError):
    """A file of this machine can't be written."""


@define
class _Counted:
    """A bar, and how far it came."""

    _bar: Bar
    _counts: tuple[int, int] = field(default=(0, 0), init=False)

    def progress(self, done: int, total: int) -> None:
        """Show it."""
        self._counts = done, total
        self._bar.show(done, total)

    def end(self, verb: str) -> None:
        """It is complete."""
        self._bar.end(verb, max(self._counts))


async def upload_files(client: AsyncRebyte, attachments: Sequence[Attachment], bars: Bars) -> Sequence[FileRef]:
    """Upload what isn't uploaded yet, to be attached to a task or a prompt."""
    names = [_name(item) for item in attachments if not isinstance(item, FileRef)]
    if not names:
        return await client.files.upload_all(attachments)
    with bars:
        bar = _Counted(bars.begin(_about(names)))
        refs = await client.files.upload_all(attachments, progress=bar.progress)
        bar.end("uploaded")
    return refs


async def upload_artifacts(
    client: AsyncRebyte, workspace_id: str, paths: Sequence[Path], bars: Bars
) -> Sequence[Artifact]:
    """Upload files to a workspace."""
    with bars:
        bar = _Counted(bars.begin(_about([path.name for path in paths])))
        made = await client.artifacts.upload(workspace_id, *paths, progress=bar.progress)
        bar.end("uploaded")
    return made


def _name(item: Attachment) -> str:
    return item[0] if isinstance(item, tuple) else str(getattr(item, "name", ""))


def _about(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files"


async def download(client: AsyncRebyte, workspace_id: str, name: str, target: Path, bars: Bars) -> Path:
    """Download an artifact to a file, or into a folder.

    Raises:
        LocalFileError: The file can't be written.
    """
    with bars:
        bar = _Counted(bars.begin(name))
        try:
            path = await client.artifacts.download(workspace_id, name, target, progress=bar.progress)
        except OSError as error:
            raise _local(error, target) from error
        bar.end("downloaded")
    return path


async def download_all(
    client: AsyncRebyte, workspace_id: str, folder: Path, bars: Bars, *, overwrite: bool
) -> Sequence[Path]:
    """Download every artifact into a folder.

    Raises:
        LocalFileError: The folder or a file can't be written, or is there and is not to be overwritten.
    """
    with bars:
        bar = _Counted(bars.begin("all artifacts"))
        try:
            paths = await client.artifacts.download_all(
                workspace_id, folder, overwrite=overwrite, progress=bar.progress
            )
        except OSError as error:
            raise _local(error, folder) from error
        bar.end("downloaded")
    return paths


def _local(error: OSError, target: Path) -> RebyteError:
    if isinstance(error, RebyteError):  # one that is a TimeoutError too
        return error
    if isinstance(error, FileExistsError) and str(error.filename) == str(target):
        return LocalFileError(one_line(f"can't download into {target}: it is no folder"))
    if isinstance(error, FileExistsError):
        return LocalFileError(
            one_line(f"nothing was downloaded: there is already {error.filename}; --force replaces what is there")
        )
    failure = LocalFileError(one_line(f"can't write {error.filename or target}: {error.strerror or error}"))
    for note in getattr(error, "__notes__", ()):
        failure.add_note(note)
    return failure


async def write_to_stdout(client: AsyncRebyte, workspace_id: str, name: str) -> None:
    """Write an artifact's bytes to stdout, as they come."""
    async with aclosing(client.artifacts.stream(workspace_id, name)) as blocks:
        async for block in blocks:
            await asyncio.to_thread(sys.stdout.buffer.write, block)
    await asyncio.to_thread(sys.stdout.buffer.flush)
