"""How things are shown: drawn on a terminal, as plain lines elsewhere, or as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rebyte_async._terminal import is_terminal
from rebyte_async.cli.view.base import View
from rebyte_async.cli.view.json import JsonView
from rebyte_async.cli.view.plain import PlainView, QuietView
from rebyte_async.cli.view.progress import LineTransferView, TransferView

if TYPE_CHECKING:
    from rebyte_async.cli.view.screen import Screen


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


def make_view(style: str | None) -> View:
    """Return the view of a turn in a style, `json` or `quiet`; for None the one that fits stdout."""
    if style == "json":
        return JsonView(sys.stdout)
    if style == "quiet":
        return QuietView(sys.stdout)
    if not is_terminal(sys.stdout):
        return PlainView(sys.stdout)
    from rebyte_async.cli.view.rich import RichView  # noqa: PLC0415 - rich takes time, and only a terminal needs it

    return RichView(sys.stdout)


def make_transfer_view(*, quiet: bool = False) -> TransferView:
    """Return the view of transfers that fits stderr; one that shows nothing when `quiet`."""
    if quiet:
        return TransferView()
    if not is_terminal(sys.stderr):
        return LineTransferView()
    from rebyte_async.cli.view.live import BarView  # noqa: PLC0415 - likewise

    return BarView()
