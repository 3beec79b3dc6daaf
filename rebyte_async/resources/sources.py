"""Upload sources: paths, bytes, binary files and async iterables, opened as bodies of known length.

Everything that touches a disk runs in a thread, so that it never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from attrs import define, frozen

from rebyte_async.errors import InvalidRequestError
from rebyte_async.types.files import Attachment, FileRef, NamedSource, Progress, Source

__all__ = ["Attachment", "NamedSource", "Progress", "Source", "Upload"]

_CHUNK_SIZE = 1024 * 1024
_NOTHING_YET = 0.05
"""Seconds after which a non-blocking file that had nothing to read, so that `read` returned None, is read again."""
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""The media types of compressed files, by what `mimetypes` calls the compression."""
_MAX_NAME = 255


@frozen(eq=False, repr=False)
class CheckedSource:
    """A source that can be uploaded, as far as that shows without reading it."""

    name: str
    source: Source
    content_type: str | None  # the given media type; None to guess it by the name
    size: int | None  # the size in bytes; None where that shows only when it is read


@define(eq=False, repr=False)
class Upload:
    """An open source: it can be sent again and again, each time from its start."""

    name: str
    content_type: str
    size: int
    chunks: Callable[[], AsyncIterable[bytes]]  # reads the source from its start
    progress: Progress | None = None

    def on_sent(self, count: int) -> None:
        """Report how many bytes of the current attempt are sent."""
        if self.progress is not None:
            self.progress(count, self.size)


def check_attachments(files: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Check the form of what was given as `files=`, and return it as a tuple."""
    if isinstance(files, str | bytes | FileRef) or not isinstance(files, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"files must be a list, not {type(files).__name__}")
    attachments = tuple(files)
    for file in attachments:
        if isinstance(file, tuple):
            _check_pair("a pair in files", file)
    return attachments


async def check_source(
    source: NamedSource, *, filename: str | None = None, content_type: str | None = None
) -> CheckedSource:
    """Reject what can't be uploaded before anything is sent: by type, name and a look at the file system."""
    if isinstance(source, tuple):
        _check_pair("a pair", source)
        filename, source = source
    _check_type(source)
    name = _check_name(filename, source)
    if content_type is not None:
        _check_media_type(content_type)
    size = None
    if isinstance(source, str | os.PathLike):
        size = await asyncio.to_thread(_file_size, Path(source))
    elif isinstance(source, bytes | bytearray | memoryview):
        size = memoryview(source).nbytes
    return CheckedSource(name, source, content_type, size)


def reject_shared_files(sources: Iterable[CheckedSource]) -> None:
    """Reject sources that share a file or an iterator: two uploads at once would each get parts of its bytes."""
    seen = set[int]()
    for source in (checked.source for checked in sources):
        if hasattr(source, "read") or hasattr(source, "__anext__"):
            if id(source) in seen:
                raise InvalidRequestError(
                    f"the same {type(source).__name__} is given twice, and can't be read twice at once: "
                    "give a path or bytes, or open it once for each"
                )
            seen.add(id(source))


def check_progress(progress: object) -> None:
    if progress is not None and not callable(progress):
        raise InvalidRequestError(f"progress must be a function of two numbers, not {progress!r:.80}")


def _check_pair(what: str, parts: tuple[Any, ...]) -> None:
    if len(parts) != 2 or not isinstance(parts[0], str):  # noqa: PLR2004 - a pair
        raise InvalidRequestError(f"{what} must be a name and a source, such as ('data.csv', data)")


def _check_type(source: Any) -> None:
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview | AsyncIterable):
        return
    if not callable(getattr(source, "read", None)):
        raise InvalidRequestError(
            f"can't upload {type(source).__name__}: give a path, bytes, a binary file or an async iterable of bytes"
        )
    if isinstance(source, io.TextIOBase):
        raise InvalidRequestError("can't upload a file that was opened as text: open it with 'rb'")
    if getattr(source, "closed", False):
        raise InvalidRequestError("can't upload a file that is closed")
    readable, writable = getattr(source, "readable", None), getattr(source, "writable", None)
    if callable(readable) and callable(writable) and writable() and not readable():
        raise InvalidRequestError("can't upload a file that was opened for writing: open it with 'rb'")


def _check_name(given: object, source: object) -> str:
    """Check the given name, or if there is none, the source's own."""
    name = given
    if given is None:
        given_source: Any = source
        own: Any = given_source if isinstance(source, str | os.PathLike) else getattr(given_source, "name", None)
        own = own.__fspath__() if hasattr(own, "__fspath__") else own
        name = Path(own).name if isinstance(own, str) else None
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError("the source has no name: give filename, or a pair of a name and a source")
    if len(name) > _MAX_NAME:
        raise InvalidRequestError(f"filename must have at most {_MAX_NAME} characters, not {len(name)}")
    if re.search("[\ud800-\udfff]", name):
        raise InvalidRequestError(f"the name {name!r:.80} isn't Unicode: give another one, with the source as a pair")
    return name


def _check_media_type(given: object) -> None:
    if not isinstance(given, str) or not re.fullmatch(r"[!-~]+(?:[ -~]*[!-~])?", given):
        raise InvalidRequestError(f"content_type must be a media type, such as 'text/csv', not {given!r:.80}")


@asynccontextmanager
async def open_upload(checked: CheckedSource, progress: Progress | None = None) -> AsyncGenerator[Upload]:
    """Open a source, so that it can be sent as often as it takes.

    A file is read from its current position, and not closed. A source without a length, or one that can't be read
    again, is first written to a temporary file.
    """
    name = checked.name
    source = checked.source
    content_type = checked.content_type
    size = None
    if content_type is None:
        content_type = await asyncio.to_thread(guess_media_type, name)
    chunks: Callable[[], AsyncIterable[bytes]]
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source)
        data = view.cast("B") if view.c_contiguous else memoryview(bytes(view))
        size = len(data)
        chunks = partial(_slices, data)
    elif isinstance(source, str | os.PathLike):
        size = await asyncio.to_thread(_file_size, Path(source))
        chunks = partial(_path_chunks, Path(source), size)
    elif inspect.iscoroutinefunction(getattr(source, "read", None)):  # as an iterable, some give lines
        chunks = partial(_awaited_chunks, source)
    elif isinstance(source, AsyncIterable):
        iterable = source
        chunks = lambda: iterable  # noqa: E731 - like the others, a function without arguments
    else:
        start, size = await asyncio.to_thread(_seekable_range, source)
        chunks = partial(_file_chunks, source, start, size)
    if size is not None:
        yield Upload(name, content_type, size, chunks, progress)
        return
    with await asyncio.to_thread(_temporary_file) as file:
        size = 0
        async for chunk in chunks():
            _check_chunk(chunk, bytes | bytearray | memoryview)
            size += await asyncio.to_thread(file.write, chunk)
        yield Upload(name, content_type, size, partial(_file_chunks, file, 0, size), progress)


def guess_media_type(name: str) -> str:
    """Return the media type that a name suggests. The first call reads the system's list: run it in a thread."""
    import mimetypes  # noqa: PLC0415 - an import that only uploads need

    media_type, coding = mimetypes.guess_type(name)
    if coding is not None:  # `a.csv.gz` is no CSV until it is unpacked
        return _COMPRESSED.get(coding, "application/octet-stream")
    return media_type or "application/octet-stream"


def _file_size(path: Path) -> int | None:
    """Return the size of a file; None for pipes and for files that the system generates while they are read."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise InvalidRequestError(f"can't upload {path}: it is a folder; give the files in it")
        if not stat.S_ISREG(info.st_mode):
            return None  # opening a pipe to see if that works would take bytes from it
        with path.open("rb") as file:
            return info.st_size or (None if file.read(1) else 0)
    except OSError as error:
        raise InvalidRequestError(f"can't upload {path}: {error.strerror or error}") from error


def _seekable_range(file: IO[bytes]) -> tuple[int, int] | tuple[None, None]:
    """Return a file's position and how many bytes follow it; None for both where it can't be read again."""
    with suppress(OSError, AttributeError, ValueError):
        if file.seekable():
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            file.seek(start)
            return start, max(0, end - start)
    return None, None


async def _slices(data: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK_SIZE):
        yield bytes(data[start : start + _CHUNK_SIZE])


async def _path_chunks(path: Path, size: int | None) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        async for chunk in _file_chunks(file, None, size):
            yield chunk


async def _awaited_chunks(source: Any) -> AsyncIterator[bytes]:
    while chunk := await source.read(_CHUNK_SIZE):
        yield chunk


async def _file_chunks(file: IO[bytes], start: int | None, size: int | None) -> AsyncIterator[bytes]:
    """Read `size` bytes of a file, or all of it; from `start`, or from its current position."""
    if start is not None:
        await asyncio.to_thread(file.seek, start)
    count = 0
    while size is None or count < size:
        limit = _CHUNK_SIZE if size is None else min(_CHUNK_SIZE, size - count)
        chunk: Any = await asyncio.to_thread(file.read, limit)
        if chunk is None:
            await asyncio.sleep(_NOTHING_YET)
            continue
        if not chunk:
            break
        _check_chunk(chunk, bytes)
        count += len(chunk)
        yield chunk
    if size is not None and count < size:
        raise InvalidRequestError(f"the source became shorter while it was read: {count:,} bytes of {size:,}")


def _check_chunk(chunk: object, kinds: Any) -> None:
    if not isinstance(chunk, kinds):
        raise InvalidRequestError(f"the source gave {type(chunk).__name__}, not bytes")


def _temporary_file() -> IO[bytes]:
    import tempfile  # noqa: PLC0415 - an import that only uploads need

    return tempfile.TemporaryFile()
