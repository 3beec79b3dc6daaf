"""Artifacts: the files that tasks leave in their workspace."""

from __future__ import annotations

import re
from datetime import datetime

from attrs import field, frozen

from rebyte_async.types._fields import moment

__all__ = ["Artifact", "UploadUrl", "safe_name"]

_PORTS = {f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³"}
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | _PORTS)
"""Names that are devices on Windows, with any extension."""
_UNSAFE = re.compile(r"[%/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")


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


def safe_name(name: str) -> str:
    """A server's name as the name of a file in one folder, and nowhere else.

    A plain name stays as it is. In any other, what could lead out of the folder or isn't a file everywhere
    (separators, dots alone, device names, control characters) is percent-encoded, so that two names never meet.
    """
    stem = name.split(".", 1)[0].rstrip(" ").upper()
    if stem in _DEVICES or not name.strip(". ") or name.endswith((".", " ")):
        return _encoded(name)
    return _UNSAFE.sub(lambda match: _encoded(match[0]), name)


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
