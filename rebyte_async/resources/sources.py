"""What can be uploaded: paths, bytes, binary files, async iterables, as bodies of known length.

Everything that touches a disk runs in a thread, so that the event loop never stands still.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from attrs import define

from rebyte_async.errors import InvalidRequestError
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = [
    "Attachment",
    "NamedSource",
    "Progress",
    "Source",
    "Upload",
    "attachments",
    "check",
    "check_distinct",
    "check_progress",
    "guessed_type",
    "opened",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes that are through and the bytes in all; starts over when an attempt is repeated."""
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | AsyncIterable[bytes]
"""What can be uploaded: a path, bytes, a binary file, or an async iterable of bytes."""
NamedSource: TypeAlias = Source | tuple[str, Source]
"""A source with a name of its own, or a pair of a name and a source."""
Attachment: TypeAlias = FileRef | NamedSource
"""What `files=` takes: an uploaded file, a path, or a pair of a name and a source."""

_BLOCK = 1024 * 1024
_MAX_NAME = 255


def attachments(files: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Return what was given as `files=` as a tuple, after a look at its form.

    Raises:
        InvalidRequestError: It is no list, or holds a tuple that is no pair of a name and a source.
    """
    if isinstance(files, str | bytes | FileRef) or not isinstance(files, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"files must be a list, not {type(files).__name__}")
    given = tuple(files)
    for file in given:
        if isinstance(file, tuple) and not _is_pair(file):
            raise InvalidRequestError("a pair in files must be a name and a source, such as ('data.csv', data)")
    return given


@define(eq=False)
class Upload:
    """A source that is ready to be sent, as often as it takes."""

    name: str
    content_type: str
    size: int
    _read: Callable[[], AsyncIterator[bytes]]
    progress: Progress | None = None
    """Whom to tell how much is through."""

    def blocks(self) -> AsyncIterator[bytes]:
        """Its bytes from the start."""
        return self._read()

    def sent(self, count: int) -> None:
        """Pass the progress on."""
        if self.progress is not None:
            self.progress(count, self.size)


def opened(
    source: NamedSource,
    *,
    filename: str | None = None,
    content_type: str | None = None,
    progress: Progress | None = None,
) -> AbstractAsyncContextManager[Upload]:
    """Make a source ready to be sent.

    A file is read from where it stands, and not closed. What has no length or can't be read again is first written to
    a temporary file.

    Raises:
        InvalidRequestError: It can't be read, isn't bytes, or has no name.
    """
    if isinstance(source, tuple):
        filename, source = _pair(source)
    name = _name(source, filename)
    check_progress(progress)
    return _opened(source, name, None if content_type is None else _media_type(content_type), progress)


async def check(source: NamedSource) -> int | None:
    """See whether a source can be uploaded, as far as that can be seen without reading it.

    Returns:
        Its size in bytes, where that can be seen too.

    Raises:
        InvalidRequestError: It can't.
    """
    name, inner = _pair(source) if isinstance(source, tuple) else (None, source)
    _name(inner, name)
    if isinstance(inner, str | os.PathLike):
        return await asyncio.to_thread(_file_size, Path(inner))
    return memoryview(inner).nbytes if isinstance(inner, bytes | bytearray | memoryview) else None


def check_distinct(sources: Iterable[object]) -> None:
    """See whether no file stands twice among sources that were checked: two uploads would read past each other.

    Raises:
        InvalidRequestError: One does.
    """
    seen = set[int]()
    for source in sources:
        inner: Any = cast("tuple[object, object]", source)[1] if isinstance(source, tuple) else source
        if hasattr(inner, "read") or hasattr(inner, "__anext__"):
            if id(inner) in seen:
                raise InvalidRequestError(
                    f"the same {type(inner).__name__} is given twice, and can't be read twice at once: "
                    "give a path or bytes, or open it once for each"
                )
            seen.add(id(inner))


@asynccontextmanager
async def _opened(
    source: Source, name: str, content_type: str | None, progress: Progress | None
) -> AsyncGenerator[Upload]:
    kind = await asyncio.to_thread(guessed_type, name) if content_type is None else content_type
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source)
        data = view.cast("B") if view.c_contiguous else memoryview(bytes(view))
        yield Upload(name, kind, len(data), lambda: _slices(data), progress)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        known = await asyncio.to_thread(_file_size, path)
        if known is not None:
            yield Upload(name, kind, known, lambda: _path_blocks(path, known), progress)
            return
        async with _spooled(_path_blocks(path, None)) as (file, size):
            yield Upload(name, kind, size, lambda: _file_blocks(file, 0, size), progress)
    elif isinstance(source, AsyncIterable):
        async with _spooled(source) as (file, size):
            yield Upload(name, kind, size, lambda: _file_blocks(file, 0, size), progress)
    elif (place := await asyncio.to_thread(_place, source)) is not None:
        start, size = place
        yield Upload(name, kind, size, lambda: _file_blocks(source, start, size), progress)
    else:
        async with _spooled(_file_blocks(source, None, None)) as (file, size):
            yield Upload(name, kind, size, lambda: _file_blocks(file, 0, size), progress)


def _is_pair(parts: tuple[Any, ...]) -> bool:
    return len(parts) == 2 and isinstance(parts[0], str)  # noqa: PLR2004 - a pair


def _pair(pair: tuple[Any, ...]) -> tuple[str, Source]:
    if not _is_pair(pair):
        raise InvalidRequestError("a pair must be a name and a source, such as ('data.csv', data)")
    return pair[0], pair[1]


def _name(source: Any, given: str | None) -> str:
    own = _own_name(source)
    known = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview | AsyncIterable)
    if not known and not callable(getattr(source, "read", None)):
        raise InvalidRequestError(
            f"can't upload {type(source).__name__}: give a path, bytes, a binary file or an async iterable of bytes"
        )
    if not known:
        _check_file(source)
    name = given if given is not None else own
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError("the source has no name of its own: give filename, or a pair of a name and a source")
    if len(name) > _MAX_NAME:
        raise InvalidRequestError(f"filename must have at most {_MAX_NAME} characters, not {len(name)}")
    if re.search("[\ud800-\udfff]", name):
        raise InvalidRequestError(f"the name {name!r:.80} isn't Unicode: give another one, with the source as a pair")
    return name


def _check_file(file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError("can't upload a file that was opened as text: open it with 'rb'")
    if getattr(file, "closed", False):
        raise InvalidRequestError("can't upload a file that is closed")
    readable, writable = getattr(file, "readable", None), getattr(file, "writable", None)
    if callable(readable) and callable(writable) and writable() and not readable():
        raise InvalidRequestError("can't upload a file that was opened for writing: open it with 'rb'")


def _media_type(given: object) -> str:
    if not isinstance(given, str) or not re.fullmatch(r"[!-~]+(?:[ -~]*[!-~])?", given):
        raise InvalidRequestError(f"content_type must be a media type, such as 'text/csv', not {given!r:.80}")
    return given


def check_progress(given: object) -> None:
    """See whether what is to be told of the progress can be."""
    if given is not None and not callable(given):
        raise InvalidRequestError(f"progress must be a function of two numbers, not {given!r:.80}")


def _own_name(source: object) -> object:
    if isinstance(source, str | os.PathLike):
        return Path(cast("str", source)).name
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else None


def guessed_type(name: str) -> str:
    """The media type that a name suggests. Reads the system's list of them, once: run it in a thread."""
    import mimetypes  # noqa: PLC0415 - an import that only uploads need

    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _file_size(path: Path) -> int | None:
    """The size of a file, or None where that isn't known before it is read: of a pipe, or one the system makes up."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise InvalidRequestError(f"can't upload {path}: it is a folder")
        if not stat.S_ISREG(info.st_mode):
            return None  # opening a pipe to see if that works would take from it
        with path.open("rb") as file:
            return info.st_size or (None if file.read(1) else 0)
    except OSError as error:
        raise InvalidRequestError(f"can't upload {path}: {error.strerror or error}") from error


def _place(file: IO[bytes]) -> tuple[int, int] | None:
    """Where a file stands and how much follows, or None where it can't be read again."""
    with suppress(OSError, AttributeError, ValueError):
        if file.seekable():
            start = file.tell()
            end = file.seek(0, os.SEEK_END)
            file.seek(start)
            return start, max(0, end - start)
    return None


async def _slices(data: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _BLOCK):
        yield bytes(data[start : start + _BLOCK])


async def _path_blocks(path: Path, size: int | None) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        async for block in _file_blocks(file, None, size):
            yield block
    finally:
        file.close()


async def _file_blocks(file: IO[bytes], start: int | None, size: int | None) -> AsyncIterator[bytes]:
    """The bytes of a file: from a place, or from where it stands; of a size, or to its end."""
    if start is not None:
        await asyncio.to_thread(file.seek, start)
    count = 0
    while size is None or count < size:
        wanted = _BLOCK if size is None else min(_BLOCK, size - count)
        block: Any = await asyncio.to_thread(file.read, wanted)
        if not block:
            break
        if not isinstance(block, bytes):
            raise InvalidRequestError(f"the source gave {type(block).__name__}, not bytes")
        count += len(block)
        yield block
    if size is not None and count < size:
        raise InvalidRequestError(f"the source became shorter while it was read: {count:,} bytes of {size:,}")


def _temporary_file() -> IO[bytes]:
    import tempfile  # noqa: PLC0415 - an import that only uploads need

    return tempfile.TemporaryFile()


@asynccontextmanager
async def _spooled(blocks: AsyncIterable[bytes]) -> AsyncGenerator[tuple[IO[bytes], int]]:
    """A temporary file with all of the blocks, and its size."""
    file = await asyncio.to_thread(_temporary_file)
    try:
        size = 0
        async for block in blocks:
            if not isinstance(block, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidRequestError(f"the source gave {type(block).__name__}, not bytes")
            size += await asyncio.to_thread(file.write, block)
        yield file, size
    finally:
        file.close()
