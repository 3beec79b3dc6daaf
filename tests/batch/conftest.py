"""An emulator, and a client of it, for batches."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Emulator
from support.clients import client_of


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator in the test's own loop."""
    async with Emulator(pace=0.001) as started:
        yield started
        started.check()


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """A client of it, which hardly waits between attempts."""
    async with client_of(emulator.url) as made:
        emulator.add_key("rbk_test_0123456789")
        yield made
