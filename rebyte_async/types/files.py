"""Files that were uploaded for tasks."""

from __future__ import annotations

from attrs import frozen

from rebyte_async.types.values import Value


@frozen(repr=False)
class FileRef(Value):
    """An uploaded file, which can be attached to a task or a prompt.

    *Source*: contract §5, documented.
    """

    id: str
    """The file's id."""
    filename: str
    """The unique name that the server gave the file: the agent finds it at `/code/<filename>`."""
