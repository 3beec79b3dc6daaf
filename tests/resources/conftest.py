"""Fixtures for the tests of resources."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Start an emulator in the test's own loop."""
    async with Emulator() as started:
        yield started
        started.check()


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """Make a client of the emulator."""
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as made:
        yield made
