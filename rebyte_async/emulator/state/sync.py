"""How tasks of the emulator's event loop wait for each other."""

from __future__ import annotations

import asyncio

from attrs import define, field


@define(eq=False)
class Broadcast:
    """Wakes all waiters at each `fire`. A waiter that checks the state before it waits misses no change."""

    _event: asyncio.Event = field(factory=asyncio.Event, init=False)

    def fire(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


@define(eq=False)
class Latch:
    """Holds scripted agents until a test releases it; once released, it stays open."""

    opened: asyncio.Event = field(factory=asyncio.Event, init=False)
    _arrived: int = field(default=0, init=False)
    _arrival: Broadcast = field(factory=Broadcast, init=False)

    async def wait(self) -> None:
        """Arrive at the latch, and wait until it is open."""
        self._arrived += 1
        self._arrival.fire()
        await self.opened.wait()

    async def wait_for_arrivals(self, count: int) -> None:
        """Wait until `count` agents have arrived at the latch."""
        while self._arrived < count:
            await self._arrival.wait()
