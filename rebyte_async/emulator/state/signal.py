"""A wake-up call for everybody who waits."""

from __future__ import annotations

import asyncio

from attrs import define, field


@define(eq=False)
class Signal:
    """Wakes all waiters at each `fire`; who looks at the state before waiting misses nothing."""

    _event: asyncio.Event = field(factory=asyncio.Event, init=False)

    def fire(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next call."""
        await self._event.wait()
