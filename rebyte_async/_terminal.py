"""What is written to terminals: text of agents, servers and files made harmless, and durations in words."""

from __future__ import annotations

import os
import re
from typing import TextIO

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colors, the cursor, erasing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]+[0-~]"  # character sets
)
_LINE_END = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_CONTROLS = (
    *range(0x20),
    *range(0x7F, 0xA0),
    # These make text look like another one, by its direction.
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
)
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(_CONTROLS),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),  # no encoding takes a lone surrogate
    ord("\n"): "\n",
    ord("\t"): "    ",
}
_LONGEST_LINE = 500
_MINUTE, _HOUR = 60, 3_600


def is_terminal(out: TextIO) -> bool:
    """Return whether an output is a terminal that understands more than lines."""
    return out.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def sanitize(text: str) -> str:
    """Remove from a text everything that a terminal would obey, except line ends.

    A sequence that is cut in two by the pieces of a stream loses its first character, and is harmless as well.
    """
    return _LINE_END.sub("\n", _SEQUENCE.sub("", text)).translate(_TABLE)


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """Sanitize a text and put it on one line of at most `longest` characters."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def format_duration(seconds: float) -> str:
    """Write a duration like `0.8 s`, `12 s`, `3 min 5 s` or `2 h 10 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - tenths don't matter beyond
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
