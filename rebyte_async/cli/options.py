"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["style_of", "style_options", "timeout_option"]

_F = TypeVar("_F", bound="Callable[..., Any]")


def style_options(command: _F) -> _F:
    """Add `--json` and `--quiet`."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Print the final answer alone.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
    return as_json(quiet(command))


def style_of(*, as_json: bool, quiet: bool) -> str | None:
    """The view that the options ask for; None for the one that fits stdout."""
    if as_json and quiet:
        raise click.UsageError("--json and --quiet don't go together")
    return "json" if as_json else "quiet" if quiet else None


def timeout_option(command: _F) -> _F:
    """Add `--timeout`."""
    limit = click.FloatRange(min=0, min_open=True)
    return click.option("--timeout", type=limit, metavar="SECONDS", help="Stop watching after so long.")(command)
