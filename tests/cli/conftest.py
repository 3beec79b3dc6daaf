"""An emulator for commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rebyte_async.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator in the test's own loop, on a real socket."""
    async with Emulator(pace=0.001) as emulator:
        yield emulator
        emulator.check()
