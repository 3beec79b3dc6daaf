"""Files that were announced, and uploaded or not yet."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from attrs import define, frozen

__all__ = ["StoredFile"]


@frozen(kw_only=True)
class StoredFile:
    """A file that was uploaded."""

    id: str
    """The file's id."""
    filename: str
    """The name that the service gave it."""
    content_type: str
    """The type that it was announced and sent with."""
    size: int
    """Its size in bytes."""
    path: Path
    """Where its bytes are."""


@define(eq=False, kw_only=True)
class File:
    """A file from its announcement on."""

    number: int
    id: str
    filename: str
    content_type: str
    stored: StoredFile | None = None


def unique_name(filename: str, token: str) -> str:
    """A name that no other file has, with the ending of the one that was asked for."""
    path = PurePosixPath(filename.replace("/", "_"))
    return f"{path.stem}-{token}{path.suffix}"
