"""The ways to show a turn: for a terminal, for a file or a pipe, for a program, and the final result alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rebyte_async.cli.view.json import JsonView
from rebyte_async.cli.view.plain import PlainView, QuietView
from rebyte_async.cli.view.terminal import is_terminal

if TYPE_CHECKING:
    from rebyte_async.cli.view.base import View

__all__ = ["make_view"]


def make_view(style: str | None) -> View:
    """Return the view of a style, `json` or `quiet`; for None the one that fits stdout."""
    if style == "json":
        return JsonView(sys.stdout)
    if style == "quiet":
        return QuietView(sys.stdout)
    if not is_terminal(sys.stdout):
        return PlainView(sys.stdout)
    from rebyte_async.cli.view.rich import RichView  # noqa: PLC0415 - rich takes time, and only a terminal needs it

    return RichView(sys.stdout)
