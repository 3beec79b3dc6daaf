"""Pytest fixtures for applications that use the SDK: an emulator, and a client that talks to it.

The emulator runs in a thread with its own event loop, so it serves synchronous tests and those of any plugin for
asynchronous ones. The client is closed in the event loop of its test, whichever plugin runs that loop.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async import AsyncRebyte

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator  # not when pytest starts: it imports aiohttp

__all__ = ["rebyte_client", "rebyte_emulator"]


@pytest.fixture(scope="session")
def _rebyte_emulator_server() -> Iterator[Emulator]:
    from rebyte_async.emulator import Emulator  # noqa: PLC0415 - see above

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def rebyte_emulator(_rebyte_emulator_server: Emulator) -> Iterator[Emulator]:
    """An emulator without any state of earlier tests; the test fails if something failed inside the emulator."""
    _rebyte_emulator_server.clear()
    yield _rebyte_emulator_server
    _rebyte_emulator_server.check()


@pytest.fixture
def rebyte_client(rebyte_emulator: Emulator) -> AsyncRebyte:
    """A client of `rebyte_emulator`, which is closed when the test's function returns."""
    return AsyncRebyte(api_key=rebyte_emulator.api_key, base_url=rebyte_emulator.url)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Close the client at the end of the test's coroutine: a fixture may be torn down after the loop was closed."""
    client: AsyncRebyte | None = getattr(item, "funcargs", {}).get("rebyte_client")
    if client is not None and isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _close_after(client, item.obj)
    return (yield)


def _close_after(client: AsyncRebyte, test: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return await test(*args, **kwargs)
        finally:
            await client.aclose()

    return run
