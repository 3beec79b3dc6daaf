"""The names and types of artifacts: what may be one, and how a name is written in a path or on a disk."""

from __future__ import annotations

import re
from urllib.parse import quote

from rebyte_async.emulator.errors import validation_error

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_TAIL = 80


def checked_name(name: str) -> str:
    """A name that can be sent to the API and be read from it again.

    Raises:
        ApiError: It can't.
    """
    if name in ("", ".", ".."):
        raise validation_error(f"{name!r} is no filename.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise validation_error("A filename must be Unicode text.") from None
    return name


def checked_type(content_type: str) -> str:
    """A content type that can stand in a header.

    Raises:
        ApiError: It can't.
    """
    if not content_type.isascii() or not content_type.isprintable():
        raise validation_error("A content type must be printable ASCII.")
    return content_type


def segment(name: str) -> str:
    """A name as one segment of a path, whatever is in it."""
    return quote(name, safe="")


def tail(name: str) -> str:
    """What of a name can stand at the end of a file's name on any disk; it tells people what the file is."""
    return _UNSAFE.sub("_", name)[-_LONGEST_TAIL:]
