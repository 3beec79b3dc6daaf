"""The command `rebyte-async`: a thin layer over the SDK, with click and rich from the extra `cli`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

__all__ = ["main"]

_MISSING_EXTRA = 14  # the exit code without click or rich; the others are in `exits`, which needs them


def main() -> NoReturn:
    """Run the command with the process's arguments, and exit with its code."""
    try:
        for name in ("click", "rich"):
            import_module(name)
    except ImportError as error:
        sys.stderr.write(f"error: {error}; the command needs an extra: pip install 'rebyte-async[cli]'\n")
        sys.exit(_MISSING_EXTRA)
    from rebyte_async.cli.app import start  # noqa: PLC0415 - it can be imported only now that the extra is there

    sys.exit(start())
