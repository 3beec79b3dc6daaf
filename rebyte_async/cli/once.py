"""A call that is made once, without anything to watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.cli.exits import Exit, complain, exit_of, explain
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.watch import api_client
from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async import AsyncRebyte

__all__ = ["run_once"]


def run_once(call: Callable[[AsyncRebyte], Awaitable[int]]) -> int:
    """Make a client, call with it, and turn what goes wrong into an exit code.

    Args:
        call: What to do; returns the exit code.

    Returns:
        The exit code.
    """

    async def main() -> int:
        async with api_client() as client:
            return await call(client)

    try:
        return run_loop(main)
    except InterruptedBySignal as interrupt:
        return 128 + interrupt.number
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except RebyteError as error:
        complain(explain(error))
        return exit_of(error)
