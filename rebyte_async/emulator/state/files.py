"""Files for prompts: announced to the API first, then uploaded to the storage."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from attrs import define, frozen


@frozen(kw_only=True)
class StoredFile:
    """A file that was uploaded."""

    id: str
    """The file's id."""
    filename: str
    """The name that the service gave it."""
    content_type: str
    """The type that it was announced and uploaded with."""
    size: int
    """Its size in bytes."""
    path: Path
    """Where its bytes are kept."""


@define(eq=False, kw_only=True)
class File:
    """A file that was announced; `stored` is None until it is uploaded."""

    id: str
    filename: str
    content_type: str
    stored: StoredFile | None = None


def make_unique_name(filename: str, token: str) -> str:
    """Return a name that no other file has, with the ending of the requested one."""
    path = PurePosixPath(filename.replace("/", "_"))
    return f"{path.stem}-{token}{path.suffix}"
