"""Where items come from: any iterable, read as far as there is room and no further."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from rebyte_async.batch.items import BatchItem
from rebyte_async.errors import BatchError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Items", "Source", "check_items", "source_of"]

Items: TypeAlias = Iterable[BatchItem] | AsyncIterable[BatchItem]


class Source(ABC):
    """Hands out what its iterable gives, a few at a time. Its subclasses say how the iterable is read.

    A permit is given for each item that may be read, so that nothing is read ahead of the room for it.
    """

    def __init__(self) -> None:
        self._ready: deque[object] = deque()
        self._permits = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()

    async def take(self, most: int) -> list[object]:
        """The next items: as many as are there, at least one; none at the end.

        Raises:
            BaseException: What the iterable raised.
        """
        while not self._ready and not self._ended:
            self._changed.clear()
            if self._permits < most:
                more, self._permits = most - self._permits, most
                self._permit(more)
            await self._changed.wait()
        if not self._ready and self._failure is not None:
            raise self._failure
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    @abstractmethod
    def _permit(self, count: int) -> None:
        """Let so many more items be read."""

    def add(self, item: object) -> None:
        """Take in an item."""
        self._permits -= 1
        self._ready.append(item)
        self._changed.set()

    def end(self, failure: BaseException | None = None) -> None:
        """Take in that there is no other."""
        if isinstance(failure, asyncio.CancelledError):  # which, raised to the reader, would look as if it was meant
            cancelled, failure = failure, BatchError("what gives the items was cancelled")
            failure.__cause__ = cancelled
        self._ended, self._failure = True, failure
        self._changed.set()

    async def close(self) -> None:  # noqa: B027 - what lies in memory needs no closing
        """Read no more."""


class _Listed(Source):
    """What lies in memory needs no thread."""

    def __init__(self, items: Iterator[object]) -> None:
        super().__init__()
        self._items = items

    def _permit(self, count: int) -> None:
        for _ in range(count):
            try:
                self.add(next(self._items))
            except StopIteration:
                self.end()
                return
            except BaseException as error:  # noqa: BLE001 - told to whoever reads
                self.end(error)
                return


class _Threaded(Source):
    """Any other iterable may block, so it is read in a thread of its own: a daemon, since it may block for ever."""

    def __init__(self, items: Iterable[object]) -> None:
        super().__init__()
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._permitted = threading.Semaphore(0)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="rebyte-batch-items", daemon=True)

    def _permit(self, count: int) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._permitted.release(count)

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            iterator = iter(self._items)
            while self._permitted.acquire() and not self._closed:
                self._loop.call_soon_threadsafe(self.add, next(iterator))
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever reads
            failure = error
        with suppress(RuntimeError):  # the loop is closed, and nobody reads any more
            self._loop.call_soon_threadsafe(self.end, failure)

    async def close(self) -> None:
        self._closed = True
        self._permitted.release()


class _Awaited(Source):
    """An async iterable is read in a task of its own, so that one item doesn't wait for the next."""

    def __init__(self, items: AsyncIterable[object]) -> None:
        super().__init__()
        self._items = items
        self._permitted = asyncio.Semaphore(0)
        self._task: asyncio.Task[None] | None = None

    def _permit(self, count: int) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="rebyte-batch-items")
        for _ in range(count):
            self._permitted.release()

    async def _work(self) -> None:
        try:
            iterator: AsyncIterator[object] = aiter(self._items)
            while await self._permitted.acquire():
                self.add(await anext(iterator))
        except StopAsyncIteration:
            self.end()
        except asyncio.CancelledError as error:  # its own, or of something that it awaits
            self.end(error)
            raise
        except BaseException as error:  # told to whoever reads, who would wait for ever
            self.end(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if (aclose := getattr(self._items, "aclose", None)) is not None and self._task is not None:
            await aclose()


def check_items(items: object) -> None:
    """See whether items can be read from something.

    Raises:
        InvalidRequestError: They can't.
    """
    kind = type(items).__name__
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, AsyncIterable | Iterable):
        raise InvalidRequestError(f"items must be an iterable of BatchItem, sync or async, not {kind}")


def source_of(items: Items) -> Source:
    """How to read an iterable, in the event loop that reads from it."""
    if isinstance(items, AsyncIterable):
        return _Awaited(items)
    if isinstance(items, list | tuple | deque):
        return _Listed(iter(items))
    return _Threaded(items)
