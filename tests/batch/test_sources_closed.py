"""What gives the items of a batch is closed when the run ends, also early."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import pytest
from attrs import define, field

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem
from rebyte_async.emulator import Emulator
from support.batches import items, outcomes_of, runner_of


@define(eq=False)
class Closings:
    """Sources of items, and the names of the threads in which they were closed."""

    count: int
    threads: list[str] = field(factory=list[str], init=False)
    done: threading.Event = field(factory=threading.Event, init=False)

    def note(self) -> None:
        """Note that a source was closed."""
        self.threads.append(threading.current_thread().name)
        self.done.set()

    def generator(self) -> Iterator[BatchItem]:
        """A generator."""
        try:
            yield from items(self.count)
        finally:
            self.note()

    async def async_generator(self) -> AsyncIterator[BatchItem]:
        """An async generator."""
        try:
            for item in items(self.count):
                yield item
        finally:
            self.note()


class _Iterator:
    """An iterator with `close`."""

    def __init__(self, closings: Closings) -> None:
        self._items = iter(items(closings.count))
        self.close = closings.note

    def __iter__(self) -> Iterator[BatchItem]:
        return self

    def __next__(self) -> BatchItem:
        return next(self._items)


class _AsyncIterator:
    """An async iterator with a `close` of either kind."""

    def __init__(self, closings: Closings, *, is_awaited: bool) -> None:
        self._items = iter(items(closings.count))
        self._note = closings.note
        self.close = self._close if is_awaited else closings.note

    async def _close(self) -> None:
        await asyncio.sleep(0)
        self._note()

    def __aiter__(self) -> AsyncIterator[BatchItem]:
        return self

    async def __anext__(self) -> BatchItem:
        for item in self._items:
            return item
        raise StopAsyncIteration


class _Iterable:
    """An iterable that opens something each time it is iterated over."""

    def __init__(self, closings: Closings) -> None:
        self._closings = closings

    def __iter__(self) -> Iterator[BatchItem]:
        return self._closings.generator()


class _AsyncIterable:
    """An async iterable whose `__aiter__` is an async generator."""

    def __init__(self, closings: Closings) -> None:
        self._closings = closings

    async def __aiter__(self) -> AsyncIterator[BatchItem]:
        async for item in self._closings.async_generator():
            yield item


SOURCES: dict[str, Callable[[Closings], Any]] = {
    "generator": Closings.generator,
    "iterator with close": _Iterator,
    "iterable": _Iterable,
    "async generator": Closings.async_generator,
    "async iterator with close": partial(_AsyncIterator, is_awaited=False),
    "async iterator with awaited close": partial(_AsyncIterator, is_awaited=True),
    "async iterable": _AsyncIterable,
}


@pytest.mark.parametrize("is_early", [True, False])
@pytest.mark.parametrize("kind", SOURCES)
async def test_sources_are_closed_when_the_run_ends(
    emulator: Emulator, client: AsyncRebyte, kind: str, is_early: bool
) -> None:
    """At the end of the block or of the items, whatever their kind; sync ones in the thread that read them."""
    del emulator
    closings = Closings(1_000 if is_early else 3)
    source = SOURCES[kind](closings)
    if is_early:
        async with runner_of(client, concurrency=2).run(source) as run:
            await anext(run)
    else:
        assert len(await outcomes_of(runner_of(client), source)) == 3
    assert len(closings.threads) == 1
    assert (closings.threads[0] == "rebyte-batch-items") is (not kind.startswith("async"))


@pytest.mark.parametrize("wrap", [partial(map, lambda item: item), lambda source: islice(source, 999)])
async def test_what_cannot_be_closed_is_let_go(
    emulator: Emulator, client: AsyncRebyte, wrap: Callable[[Any], Any]
) -> None:
    """A generator inside `map` or `islice` is closed when the application's last reference to it goes."""
    del emulator
    closings = Closings(1_000)
    source = wrap(closings.generator())
    async with runner_of(client, concurrency=2).run(source) as run:
        await anext(run)
    assert not closings.done.is_set()
    del source, run
    assert await asyncio.to_thread(closings.done.wait, 5)


async def test_a_source_that_blocks_holds_up_the_end_for_a_moment_only(emulator: Emulator, client: AsyncRebyte) -> None:
    """A read under way is waited for, but not for long; the source is closed when the read returns."""
    del emulator
    is_free = threading.Event()
    closings = Closings(1)

    def supply() -> Iterator[BatchItem]:
        try:
            yield from items(1)
            is_free.wait(30)
        finally:
            closings.note()

    async with runner_of(client).run(supply()) as run:
        await anext(run)
    assert not closings.done.is_set()
    is_free.set()
    assert await asyncio.to_thread(closings.done.wait, 5)
