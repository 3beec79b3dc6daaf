"""Text from an agent or a server, made harmless: it must not be able to control the user's terminal."""

from __future__ import annotations

import re

__all__ = ["clean", "one_line"]

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colors, the cursor, erasing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]+[0-~]"  # character sets
)
_LINE_END = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_CONTROLS = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),  # these and the next make text look like another one, by its direction
    *range(0x2066, 0x206A),
)
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(_CONTROLS),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),  # no encoding takes a lone surrogate
    ord("\n"): "\n",
    ord("\t"): "    ",
}
_LONGEST_LINE = 500


def clean(text: str) -> str:
    """Text without anything that a terminal would obey: only line ends are left.

    A sequence that is cut in two by the pieces of a stream loses its first character, and is harmless as well.
    """
    return _LINE_END.sub("\n", _SEQUENCE.sub("", text)).translate(_TABLE)


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """Clean text on one line, cut where it is too long."""
    line = " ".join(clean(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
