"""Artifacts: the files that tasks leave on their agent computer."""

from __future__ import annotations

import re
from datetime import datetime

from attrs import field, frozen

from rebyte_async._clock import to_datetime
from rebyte_async.types.values import Value

_PORTS = {f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³"}
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | _PORTS)
"""Names of devices on Windows, which they are with any extension."""
_UNSAFE = re.compile(r"[%/\\:*?\"<>|\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What leads out of a folder, what a terminal obeys, what shows a name in another order than it has, and no Unicode."""


@frozen(kw_only=True, repr=False)
class Artifact(Value):
    """A file that a task left on its agent computer.

    *Source*: contract §6, guess: only the endpoints are documented, so every field but `filename` may be None.
    """

    filename: str
    """Its name, which may hold slashes."""
    size: int | None = None
    """Its size in bytes."""
    content_type: str | None = None
    """Its media type."""
    created_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was created."""
    updated_at: datetime | None = field(default=None, converter=to_datetime)
    """When it last changed."""
    url: str | None = field(default=None, repr=False)
    """A link to the file, where the server gives one. It may carry its own authorization, so the repr leaves it out."""

    @property
    def name(self) -> str:
        """The former name of `filename`."""
        return self.filename

    @property
    def local_name(self) -> str:
        """The name under which a download into a folder saves the artifact.

        Characters that could lead out of the folder, and names that are no files on some system, are percent-encoded.
        Two artifacts never get the same local name.
        """
        return safe_name(self.filename)


@frozen(kw_only=True, repr=False)
class UploadUrl(Value):
    """Where to upload one artifact with PUT.

    *Source*: contract §6, guess.
    """

    filename: str
    """The artifact's name."""
    content_type: str
    """The media type that the upload must carry."""
    upload_url: str = field(repr=False)
    """The address. It carries its own authorization, so the API key is never sent there. Left out of the repr."""

    @property
    def name(self) -> str:
        """The former name of `filename`."""
        return self.filename


def safe_name(name: str) -> str:
    """Percent-encode what could lead out of a folder or is no file name on some system; names stay different."""
    stem = name.split(".", 1)[0].rstrip(" ").upper()
    if stem in _DEVICES or not name.strip(". ") or name.endswith((".", " ")):
        return _percent_encode(name)
    return _UNSAFE.sub(lambda match: _percent_encode(match[0]), name)


def _percent_encode(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
