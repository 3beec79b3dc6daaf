"""Gates: where scripted agents wait until a test lets them go on."""

from __future__ import annotations

import asyncio

from attrs import define, field


@define(eq=False)
class Broadcast:
    """Wakes all waiters at each `fire`; who looks at the state before waiting misses nothing."""

    _event: asyncio.Event = field(factory=asyncio.Event, init=False)

    def fire(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next exchange."""
        await self._event.wait()


@define(eq=False)
class Gate:
    """A latch: who comes before it is opened waits, who comes later read_tokens."""

    opened: asyncio.Event = field(factory=asyncio.Event, init=False)
    arrived: int = field(default=0, init=False)
    arrival: Broadcast = field(factory=Broadcast, init=False)

    async def wait(self) -> None:
        """Wait until the gate is open."""
        self.arrived += 1
        self.arrival.fire()
        await self.opened.wait()

    async def reached(self, count: int) -> None:
        """Wait until so many have come to the gate."""
        while self.arrived < count:
            await self.arrival.wait()


@define(eq=False)
class Gates:
    """The gates by name; one exists as soon as somebody speaks of it."""

    _gates: dict[str, Gate] = field(factory=dict[str, Gate], init=False)

    def __getitem__(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate())
