"""A call that is made once, without anything to watch."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click

from rebyte_async.cli.exits import Exit, complain_of, forget_output
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.view.record import show_record
from rebyte_async.cli.watch import api_client
from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    import attrs

    from rebyte_async import AsyncRebyte

__all__ = ["do_once", "run_main", "run_once", "show_once"]


def show_once(read: Callable[[AsyncRebyte], Awaitable[attrs.AttrsInstance]], *, as_json: bool) -> int:
    """Call for one thing, and show it."""

    async def call(client: AsyncRebyte) -> int:
        show_record(await read(client), as_json=as_json)
        return Exit.OK

    return run_once(call)


def do_once(act: Callable[[AsyncRebyte], Awaitable[object]], done: str) -> int:
    """Do what gives nothing to show, and say that it is done."""

    async def call(client: AsyncRebyte) -> int:
        await act(client)
        click.echo(one_line(done))
        return Exit.OK

    return run_once(call)


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
    except (RebyteError, OSError) as error:
        return complain_of(error)


def _interrupted(what: str | Callable[[], str], number: int) -> int:
    text = what if isinstance(what, str) else what()
    if text:
        click.echo(f"interrupted: {text}", err=True)
    return 128 + number
