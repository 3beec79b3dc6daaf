"""Artifacts: the files that tasks leave in their workspace."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from rebyte_async.types._fields import moment
from rebyte_async.types._names import safe_name

__all__ = ["Artifact", "UploadUrl"]


@frozen(kw_only=True)
class Artifact:
    """A file in a workspace.

    *Source*: contract §6, guess: only the endpoints are documented, so everything but the name may be None.
    """

    name: str
    """Its name, which may hold slashes."""
    size: int | None = None
    """Its size in bytes."""
    content_type: str | None = None
    """Its media type."""
    created_at: datetime | None = field(default=None, converter=moment)
    """When it was created."""
    updated_at: datetime | None = field(default=None, converter=moment)
    """When it last changed."""
    url: str | None = field(default=None, repr=False)
    """A link to it, where the server gives one; it may carry its own authorization, so the repr leaves it out."""

    @property
    def local_name(self) -> str:
        """Its name as that of a file in a folder, under which the downloads put it there.

        What could lead out of the folder or isn't a file everywhere is percent-encoded; two names never meet.
        """
        return safe_name(self.name)


@frozen(kw_only=True)
class UploadUrl:
    """Where to PUT an artifact.

    *Source*: contract §6, guess.
    """

    name: str
    """The artifact's name."""
    content_type: str
    """The media type that the upload must carry."""
    upload_url: str = field(repr=False)
    """The address, which carries its own authorization: the API key never goes there. Left out of the repr."""
