"""An emulator and a plain client for its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from emulator.raw_client import RawClient

from rebyte_async.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator in the test's own loop."""
    async with Emulator(pace=0.001) as emulator:
        yield emulator
        emulator.check()


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[RawClient]:
    """A plain client of the emulator."""
    async with aiohttp.ClientSession() as session:
        yield RawClient(emulator, session)
