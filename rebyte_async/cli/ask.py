"""Questions to the user before something is lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.view.clean import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["agrees", "yes_option"]

yes_option: Callable[[Any], Any] = click.option("--yes", "-y", is_flag=True, help="Don't ask.")


def agrees(question: str, *, yes: bool, must_say_so: bool = False) -> bool:
    """Ask on a terminal whether the user is sure.

    Args:
        question: What to ask.
        yes: Whether that was answered by `--yes`.
        must_say_so: Whether `--yes` is needed where nobody can be asked.

    Returns:
        Whether to go on; where nobody can be asked, the command itself says so.

    Raises:
        UsageError: Nobody can be asked, and `--yes` wasn't given.
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if must_say_so:
            raise click.UsageError("nobody can be asked here: say --yes if you are sure")
        return True
    if click.confirm(one_line(question), err=True):
        return True
    click.echo("nothing was done", err=True)
    return False
