"""What all nouns of the service are built from: collections, and waits of one task for another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, ValuesView
from typing import Generic, TypeVar

from attrs import define, field

from rebyte_async.emulator.responses import not_found

T = TypeVar("T")


@define(eq=False)
class Collection(Generic[T]):
    """All things of one kind that weren't deleted, by id."""

    kind: str
    _by_id: dict[str, T] = field(factory=dict[str, T], init=False)

    def add(self, member_id: str, member: T) -> None:
        self._by_id[member_id] = member

    def get(self, member_id: str) -> T:
        """Return the member with an id, or raise an `ApiError`."""
        if member_id not in self._by_id:
            raise not_found(self.kind)
        return self._by_id[member_id]

    def find(self, member_id: str) -> T | None:
        return self._by_id.get(member_id)

    def remove(self, member_id: str) -> None:
        """Hide a member from every read."""
        del self._by_id[member_id]

    def oldest_first(self) -> ValuesView[T]:
        return self._by_id.values()

    def newest_first(self) -> Iterator[T]:
        return reversed(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


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
