"""Uploaded files."""

from __future__ import annotations

from attrs import frozen

__all__ = ["FileRef"]


@frozen
class FileRef:
    """A file that was uploaded and can be attached to a task or a prompt.

    *Source*: contract §5, documented.
    """

    id: str
    """The file's id."""
    filename: str
    """The name that the server gave it, made unique: the agent finds it at `/code/<filename>`."""
