"""Notice that a server shuts down.

Servers wait for open responses before they say anything to the application, and no response of ours would ever end. So
each response looks for itself, four times a second.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

_INTERVAL = 0.25  # seconds; a thousand open responses cost about a hundredth of a core


@contextmanager
def watch(is_over: Callable[[], bool]) -> Generator[asyncio.Future[None], None, None]:
    """Ask `is_over` again and again; the future that this yields is done once it is true."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        if not over.done() and is_over():
            over.set_result(None)
        elif not over.done():
            timer = loop.call_later(_INTERVAL, look)

    look()
    try:
        yield over
    finally:
        over.cancel()
        if timer is not None:
            timer.cancel()


def find_exit() -> Callable[[], bool]:
    """Return a function that says whether a uvicorn server of this event loop shuts down.

    uvicorn gives applications no sign of it, other than the public `Server.should_exit`. The server is the `self` of
    the coroutine `Server.serve`, which some task of the loop is awaiting. Other servers are not found.
    """
    servers = [server for task in asyncio.all_tasks() for server in _find_servers(task.get_coro())]
    running = [server for server in servers if not server.should_exit]
    return lambda: any(server.should_exit for server in running)


def _find_servers(awaited: object) -> Iterator[Any]:
    while inspect.iscoroutine(awaited):
        if awaited.cr_code.co_qualname == "Server.serve":
            server = inspect.getcoroutinelocals(awaited).get("self")
            if hasattr(server, "should_exit"):
                yield server
        awaited = awaited.cr_await
