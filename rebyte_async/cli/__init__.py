"""The command `rebyte-async`: a thin layer over the SDK, with click and rich from the extra `cli`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

__all__ = ["main"]

_MISSING_EXTRA = 14  # the exit code without click or rich; the others are in `exits`, which needs them


def main() -> NoReturn:
    """Run the command with the process's arguments, and exit with its code."""
    _replace_closed_streams()
    try:
        for name in ("click", "rich"):
            import_module(name)
    except ImportError as error:
        sys.stderr.write(f"error: {error}; the command needs an extra: pip install 'rebyte-async[cli]'\n")
        sys.exit(_MISSING_EXTRA)
    from rebyte_async.cli.app import start  # noqa: PLC0415 - it can be imported only now that the extra is there

    sys.exit(start())


def _replace_closed_streams() -> None:
    """Take the numbers of the standard streams that were closed before the command started.

    They would go to files and sockets of the command: uvloop aborts the process when it closes one of them. The number
    of stdin goes to a folder, which nothing takes for an empty file; `sys.stdin` stays None.
    """
    if sys.stdin is None:
        with suppress(OSError):  # on Windows, where there is no uvloop
            os.open(os.sep, os.O_RDONLY)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the process
