"""Files that were uploaded for tasks, and what can be uploaded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable
from typing import IO, TypeAlias

from attrs import frozen

from rebyte_async.types.values import Value

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes transferred and the bytes in all. It starts over when an attempt is repeated."""
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | AsyncIterable[bytes]
"""What can be uploaded: a path, bytes, a binary file, or an async iterable of bytes."""
NamedSource: TypeAlias = Source | tuple[str, Source]
"""A source that has a name, or a pair of a name and a source."""


@frozen(repr=False)
class FileRef(Value):
    """An uploaded file, which can be attached to a task or a prompt.

    *Source*: contract §5, documented.
    """

    id: str
    """The file's id."""
    filename: str
    """The unique name that the server gave the file: the agent finds it at `/code/<filename>`."""


Attachment: TypeAlias = FileRef | NamedSource
"""What `files=` takes: an uploaded file, a path, or a pair of a name and a source."""
