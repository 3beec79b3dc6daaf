"""Whether a person looks at an output, and the screen to draw on then."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TextIO

    from rebyte_async.cli.view.screen import Screen


def is_terminal(out: TextIO) -> bool:
    """Return whether an output is a terminal that understands more than lines."""
    return out.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def open_screen(out: TextIO) -> Screen | None:
    """Return the screen to draw on; None where the output is a file, a pipe or a dumb terminal."""
    if not is_terminal(out):
        return None
    from rebyte_async.cli.view.screen import Screen  # noqa: PLC0415 - rich takes 60 ms, and only a terminal needs it

    return Screen(out)


@contextmanager
def show_busy(doing: str) -> Generator[None]:
    """Show on a terminal's stderr, until the block is left, what the command waits for."""
    screen = open_screen(sys.stderr)
    if screen is None:
        yield
        return
    with screen.console.status(f"{doing}  Ctrl-C to leave", spinner_style="green"):
        yield
