"""A call that is made once, without anything to watch."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.exits import Exit, complain, complain_of, exit_of, forget_output
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.watch import api_client
from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from rebyte_async import AsyncRebyte

__all__ = ["run_main", "run_once"]


def run_once(call: Callable[[AsyncRebyte], Awaitable[int]], *, interrupted: str | Callable[[], str] = "") -> int:
    """Make a client, call with it, and turn what goes wrong into an exit code.

    Args:
        call: What to do; returns the exit code.
        interrupted: What to say after Ctrl-C, where it isn't plain what it leaves behind.

    Returns:
        The exit code.
    """

    async def main() -> int:
        async with api_client() as client:
            return await call(client)

    return run_main(main, interrupted=interrupted)


def run_main(main: Callable[[], Coroutine[Any, Any, int]], *, interrupted: str | Callable[[], str] = "") -> int:
    """Run a coroutine, and turn what goes wrong into an exit code.

    Args:
        main: What to run; returns the exit code.
        interrupted: What to say after Ctrl-C, where it isn't plain what it leaves behind.

    Returns:
        The exit code.
    """
    try:
        return run_loop(main)
    except InterruptedBySignal as interrupt:
        return _interrupted(interrupted, interrupt.number)
    except KeyboardInterrupt:
        return _interrupted(interrupted, signal.SIGINT)
    except BrokenPipeError:
        forget_output()
        return Exit.BROKEN_PIPE
    except RebyteError as error:
        complain_of(error)
        return exit_of(error)
    except OSError as error:
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        complain(one_line(f"{about}{error.strerror or error}"))
        return Exit.OTHER


def _interrupted(what: str | Callable[[], str], number: int) -> int:
    text = what if isinstance(what, str) else what()
    if text:
        click.echo(f"interrupted: {text}", err=True)
    return 128 + number
