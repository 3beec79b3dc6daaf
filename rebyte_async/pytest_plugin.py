"""Pytest fixtures for applications that use the SDK: an emulator, and a client that talks to it.

The emulator runs in a thread with its own event loop, so it serves synchronous tests and those of any plugin for
asynchronous ones. The client is closed in the event loop that used it, however that loop is run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # not when pytest starts, in every environment that has this package
    import asyncio
    from collections.abc import AsyncGenerator, Iterator

    from rebyte_async import AsyncRebyte
    from rebyte_async.emulator import Emulator

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
def rebyte_client(rebyte_emulator: Emulator) -> Iterator[AsyncRebyte]:
    """A client of `rebyte_emulator`. It is closed after the test, or before when its event loop ends."""
    from rebyte_async import AsyncRebyte  # noqa: PLC0415 - see above

    closer = _Closer()
    client = AsyncRebyte(
        api_key=rebyte_emulator.api_key, base_url=rebyte_emulator.url, on_response=lambda _: closer.watch(client)
    )
    yield client
    closer.close(client)


class _Closer:
    """Closes a client in the event loop that it was used in: before that loop ends, or after the test."""

    _loop: asyncio.AbstractEventLoop | None = None
    _generator: AsyncGenerator[None, None] | None = None

    def watch(self, client: AsyncRebyte) -> None:
        """Have the running event loop close a client when it ends: an event loop then closes its generators."""
        import asyncio  # noqa: PLC0415 - pytest itself doesn't import it

        if self._generator is None:
            self._loop = asyncio.get_running_loop()
            self._generator = _close_at_end(client)
            with suppress(StopIteration):  # it runs up to its `yield` without a wait
                self._generator.asend(None).send(None)

    def close(self, client: AsyncRebyte) -> None:
        """Close a client, unless its event loop has done so. A client without any response has no connections."""
        if self._generator is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.run_until_complete(self._generator.aclose())
            return
        import asyncio  # noqa: PLC0415 - see above

        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(client.aclose())
        finally:
            loop.close()


async def _close_at_end(client: AsyncRebyte) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()
