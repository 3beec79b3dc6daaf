"""Uploads and downloads of several files, with how far they are."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rebyte_async.cli.view.clean import one_line
from rebyte_async.errors import RebyteError
from rebyte_async.resources.bounded import bounded
from rebyte_async.resources.downloads import safe_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rebyte_async import AsyncRebyte
    from rebyte_async.cli.view.bars import Bars
    from rebyte_async.resources.sources import Source
    from rebyte_async.types.files import FileRef

__all__ = ["LocalFileError", "all_of", "download", "local_name", "upload_files", "upload_stdin", "write_to_stdout"]

T = TypeVar("T")


class LocalFileError(RebyteError):
    """A file of this machine can't be written."""


async def all_of(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make some transfers, a few at once, and start no more after the first failure.

    Raises:
        RebyteError: One failed.
    """
    results, failure = await bounded(calls)
    if failure is not None:
        raise failure
    return results


async def upload_files(client: AsyncRebyte, paths: Sequence[Path], bars: Bars) -> list[FileRef]:
    """Upload files, to be attached to a task or a prompt."""
    with bars:
        return await all_of([partial(_upload, client, path, path.name, bars) for path in paths])


async def upload_stdin(client: AsyncRebyte, filename: str, bars: Bars) -> FileRef:
    """Upload what comes from stdin."""
    with bars:
        return await _upload(client, sys.stdin.buffer, filename, bars)


async def _upload(client: AsyncRebyte, source: Source, filename: str, bars: Bars) -> FileRef:
    count = 0
    bar = bars.begin(filename)

    def progress(done: int, total: int) -> None:
        nonlocal count
        count = total
        bar.show(done, total)

    ref = await client.files.upload(source, filename=filename, progress=progress)
    bar.end("uploaded", count)
    return ref


async def download(client: AsyncRebyte, workspace_id: str, name: str, target: Path, bars: Bars) -> int:
    """Download an artifact.

    Returns:
        Its size.

    Raises:
        LocalFileError: The file can't be written.
    """
    count = 0
    bar = bars.begin(name)

    def progress(done: int, total: int) -> None:
        nonlocal count
        count = done
        bar.show(done, total)

    try:
        await client.artifacts.download(workspace_id, name, target, progress=progress)
    except RebyteError:
        raise
    except OSError as error:
        raise LocalFileError(one_line(f"can't write {target}: {error.strerror or error}")) from error
    bar.end("downloaded", count)
    return count


async def write_to_stdout(client: AsyncRebyte, workspace_id: str, name: str) -> None:
    """Write an artifact's bytes to stdout, as they come."""
    async with aclosing(client.artifacts.stream(workspace_id, name)) as blocks:
        async for block in blocks:
            await asyncio.to_thread(sys.stdout.buffer.write, block)
    await asyncio.to_thread(sys.stdout.buffer.flush)


def local_name(name: str) -> str:
    """The name of an artifact's file in a folder."""
    return safe_name(name)
