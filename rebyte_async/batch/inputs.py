"""Readers of items: any iterable, read as far as there is room and no further."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import TypeAlias

from anyio import move_on_after

from rebyte_async._sync import Signal
from rebyte_async.batch.items import BatchItem
from rebyte_async.errors import BatchError, InvalidRequestError

_LONGEST_READ = 1.0
"""Seconds that the end of a run waits for a read that is under way."""

Items: TypeAlias = Iterable[BatchItem] | AsyncIterable[BatchItem]


class ItemReader(ABC):
    """Reads the items of an iterable, a few at a time. Its subclasses know how the iterable is read.

    One permit is given for each item that may be read, so that nothing is read ahead of the room for it.
    """

    def __init__(self) -> None:
        self._ready: deque[object] = deque()
        self._permits = 0  # how many permits are given and not used
        self._has_ended = False
        self._failure: BaseException | None = None
        self._changed = Signal()

    async def read(self, limit: int) -> list[object]:
        """Return the next items: those that are ready, from one to `limit`; none at the end.

        What the iterable raised is raised after its items.
        """
        if not self._ready and not self._has_ended and self._permits < limit:
            self._permit(limit - self._permits)
            self._permits = limit
        await self._changed.wait_for(lambda: self._ready or self._has_ended)
        if not self._ready and self._failure is not None:
            raise self._failure
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    @abstractmethod
    def _permit(self, count: int) -> None:
        """Allow `count` more items to be read."""

    @abstractmethod
    async def close(self) -> None:
        """Read no further."""

    def _add(self, item: object) -> None:
        self._permits -= 1
        self._ready.append(item)
        self._changed.notify()

    def _end(self, failure: BaseException | None = None) -> None:
        if isinstance(failure, asyncio.CancelledError):  # raised to the reader, it would look like the reader's own
            error = BatchError("the iterable of the items was cancelled")
            error.__cause__ = failure
            failure = error
        self._has_ended = True
        self._failure = failure
        self._changed.notify()


class ThreadReader(ItemReader):
    """Reads an iterable that isn't async in a thread, since it may block.

    `asyncio.to_thread` wouldn't do. The interpreter waits for its threads when it exits, so an iterable that blocks
    forever, such as one that reads a terminal, would keep the process alive; this thread is a daemon. And a generator
    would meet another thread for each item, which some, such as those with a SQLite connection, don't allow.
    """

    def __init__(self, items: Iterable[object]) -> None:
        super().__init__()
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._permitted = threading.Semaphore(0)
        self._is_closed = False
        self._is_reading = False
        self._thread = threading.Thread(target=self._work, name="rebyte-batch-items", daemon=True)

    def _permit(self, count: int) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._permitted.release(count)

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            iterator = iter(self._items)
            self._items = ()  # what only this reader refers to is freed, and so closed, when the thread ends
            try:
                while self._permitted.acquire() and not self._is_closed:
                    self._is_reading = True
                    self._loop.call_soon_threadsafe(self._add, next(iterator))
                    self._is_reading = False
            finally:
                self._is_reading = False
                if callable(close := getattr(iterator, "close", None)):
                    close()
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - raised by `read`
            failure = error
        with suppress(RuntimeError):  # the loop is closed, so there is no reader left
            self._loop.call_soon_threadsafe(self._end, failure)

    async def close(self) -> None:
        """Read no further, and close the iterator, in its thread. A read that blocks is abandoned with its thread."""
        self._is_closed = True
        self._permitted.release()
        if self._thread.ident is not None:
            with move_on_after(_LONGEST_READ if self._is_reading else None):
                await self._changed.wait_for(lambda: self._has_ended)


class AsyncReader(ItemReader):
    """Reads an async iterable in a task, so that one item doesn't wait for the next."""

    def __init__(self, items: AsyncIterable[object]) -> None:
        super().__init__()
        self._items: AsyncIterable[object] | None = items
        self._iterator: AsyncIterator[object] | None = None
        self._permitted = asyncio.Semaphore(0)
        self._task: asyncio.Task[None] | None = None

    def _permit(self, count: int) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="rebyte-batch-items")
        for _ in range(count):
            self._permitted.release()

    async def _work(self) -> None:
        try:
            assert self._items is not None  # noqa: S101 - it isn't closed
            iterator = self._iterator = aiter(self._items)
            while await self._permitted.acquire():
                self._add(await anext(iterator))
        except StopAsyncIteration:
            self._end()
        except asyncio.CancelledError as error:  # this task was cancelled, or something that the iterable awaits
            self._end(error)
            raise
        except BaseException as error:  # raised by `read`, which would wait forever
            self._end(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    async def close(self) -> None:
        """Cancel a read that waits, and close the iterator and the iterable, as far as they can be closed."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        iterator, items = self._iterator, self._items
        self._iterator = self._items = None
        for source in (iterator,) if iterator is items else (iterator, items):
            close: Callable[[], object] | None = getattr(source, "aclose", None)
            if close is None and source is iterator:
                close = getattr(source, "close", None)
            if close is not None and isawaitable(closing := close()):
                await closing


def check_items(items: object) -> None:
    kind = type(items).__name__
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, AsyncIterable | Iterable):
        raise InvalidRequestError(f"items must be an iterable of BatchItem, sync or async, not {kind}")


def open_reader(items: Items) -> ItemReader:
    """Return the reader for an iterable. It belongs to the running event loop."""
    if isinstance(items, AsyncIterable):
        return AsyncReader(items)
    if isinstance(items, list | tuple | deque):  # what is in memory needs no thread
        return AsyncReader(_iterate(items))
    return ThreadReader(items)


async def _iterate(items: Iterable[object]) -> AsyncGenerator[object]:
    for item in items:
        yield item
