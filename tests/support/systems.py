"""What a test needs of the system and Windows doesn't have: there it is skipped, with the reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

__all__ = ["FILE_LIMITS", "FILE_MODES", "FORKS", "LINKS", "SHELL", "SIGNALS", "make_pipe"]


def _needs(what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(sys.platform == "win32", reason=f"Windows has no {what}")


FILE_LIMITS = _needs("limits on the size of files")
FILE_MODES = _needs("modes of files")
FORKS = _needs("forks")
LINKS = _needs("links that every user may make")
SHELL = _needs("POSIX shell")
SIGNALS = _needs("signals that can be sent to any program")


def make_pipe(path: Path) -> None:
    """Create a pipe with a name, or skip the test where there are none."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pipes in folders")
    os.mkfifo(path)
