"""Whether somebody looks at what is written, and the consoles to draw on then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

__all__ = ["is_screen", "make_console"]


def is_screen(out: TextIO) -> bool:
    """Whether this is a terminal that understands more than lines."""
    return out.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def make_console(out: TextIO) -> Console:
    """A console on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - it takes time, and only a terminal needs it

    # Nothing that an agent or a server says is markup, and no :name: of theirs is an emoji.
    return Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=False, force_terminal=True)
