"""The ways to show a task: for a terminal, for a file or a pipe, for a program, and the answer alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rebyte_async.cli.view.json import JsonView
from rebyte_async.cli.view.plain import PlainView
from rebyte_async.cli.view.quiet import QuietView
from rebyte_async.cli.view.screens import is_screen

if TYPE_CHECKING:
    from rebyte_async.cli.view.base import View

__all__ = ["make_view"]


def make_view(style: str | None) -> View:
    """The view of a style, `json` or `quiet`; None for the one that fits stdout."""
    if style == "json":
        return JsonView(sys.stdout)
    if style == "quiet":
        return QuietView(sys.stdout)
    if not is_screen(sys.stdout):
        return PlainView(sys.stdout)
    from rebyte_async.cli.view.rich import RichView  # noqa: PLC0415 - it takes time, and only a terminal needs it

    return RichView(sys.stdout)
