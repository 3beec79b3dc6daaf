"""What all nouns of the service are built from: collections, and waits of one task for another."""

from __future__ import annotations

import asyncio
from typing import NoReturn, TypeVar

from attrs import define, field

from rebyte_async.emulator.responses import not_found

T = TypeVar("T")


class Collection(dict[str, T]):
    """All things of one kind that weren't deleted, by id and oldest first; a missing one is an `ApiError`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, member_id: str) -> NoReturn:
        raise not_found(self._kind)


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
        while self._arrived < count:
            await self._arrival.wait()
