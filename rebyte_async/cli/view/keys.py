"""Keys that are pressed while a view is drawn: their echo would get in between."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["without_echo"]


@contextmanager
def without_echo() -> Generator[None]:
    """Have the terminal not echo what is typed, until the block is left. Ctrl-C works, and nothing typed is lost."""
    try:
        import termios  # noqa: PLC0415 - not on every system
    except ImportError:
        yield
        return
    try:
        terminal = sys.stdin.fileno()
        # The system stops a command in the background that changes the terminal.
        mine = os.tcgetpgrp(terminal) == os.getpgrp()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        mine, terminal, before = False, -1, []
    if not mine:
        yield
        return
    silent = list(before)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
