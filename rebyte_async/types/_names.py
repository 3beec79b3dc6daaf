"""Names from the server as names of files."""

from __future__ import annotations

import re

__all__ = ["safe_name"]

_PORTS = {f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³"}
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | _PORTS)
"""Names that are devices on Windows, with any extension."""
_UNSAFE = re.compile(r"[%/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")


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
