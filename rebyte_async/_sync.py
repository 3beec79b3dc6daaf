"""Primitives for waiting that asyncio and anyio don't have, or have at a cost that grows with the waiters.

An `asyncio.Event`, `Lock`, `Queue` or `anyio.CapacityLimiter` is used directly where one of those fits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False, repr=False)
class Signal:
    """Wakes everyone who waits for a change of something. It keeps no state: only a later `notify` ends a wait.

    Unlike an `asyncio.Event` it needs no clearing, so that several tasks can wait for several conditions.
    """

    _event: asyncio.Event | None = field(default=None, init=False, repr=False)
    """The event of those who wait now; None while there are none."""

    def notify(self) -> None:
        """Wake everyone who waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()

    async def wait_for(self, predicate: Callable[[], object]) -> None:
        """Wait until `predicate` is true: it is asked at once, and after each `notify`.

        It is still true on return: nothing else runs between the last check and the caller.
        """
        while not predicate():
            await self.wait()


@define(eq=False, repr=False)
class FairSemaphore:
    """A semaphore that hands permits over in the order of the calls, at a cost that doesn't grow with the waiters.

    `asyncio.Semaphore` searches all of its waiters for the next one: at 128 calls at once, that is a tenth of a call.
    """

    _free: int
    """How many permits are free."""
    _waiters: deque[asyncio.Future[None]] = field(factory=deque["asyncio.Future[None]"], init=False, repr=False)

    def try_acquire(self) -> bool:
        """Take a permit if one is free."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def acquire(self) -> None:
        """Take a permit; wait until there is one. `release` it afterwards."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # the permit was handed over before the cancellation arrived
                self.release()
            raise

    def release(self) -> None:
        """Hand a permit to the first waiter, or free it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


@define(eq=False, repr=False)
class InterruptibleSleep:
    """Sleeps that `abort` ends early, such as the minutes between two attempts when a client is closed."""

    _aborted: Signal = field(factory=Signal, init=False, repr=False)
    _error: Callable[[], Exception] | None = field(default=None, init=False)
    """Makes the error for each sleep, once aborted."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, or raise the error of `abort`, if that was called before or is called meanwhile."""
        if self._error is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._aborted.wait()
        if self._error is not None:
            raise self._error()

    def abort(self, error: Callable[[], Exception]) -> None:
        """End all sleeps, and every later one, with an error that `error` makes for each."""
        self._error = error
        self._aborted.notify()


@define(eq=False, repr=False)
class SingleFlight(Generic[T]):
    """Runs one thing at a time for all callers: those who come during a run share its result.

    The run continues when callers are cancelled, even all of them.
    """

    _task: asyncio.Task[T] | None = field(default=None, init=False)

    async def run(self, factory: Callable[[], Coroutine[object, object, T]]) -> T | None:
        """Start a run of the coroutine that `factory` makes, or join the run that is under way.

        The result is None if `cancel` ended the run. What the coroutine raises is raised to each caller.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(factory())
            # Retrieved, so that asyncio doesn't log the failure of a run whose callers were all cancelled.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await await_shielded(self._task)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, which a `run` would join."""
        return self._task is not None and not self._task.done()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def await_shielded(future: asyncio.Future[T]) -> T | None:
    """Wait for a task or future that has another owner, and don't cancel it when this wait is cancelled.

    The result is None if the owner cancelled it, which `asyncio.shield` alone raises like a cancellation of the caller.
    A shielded `anyio.CancelScope` holds off the cancellations of scopes, but not `asyncio.Task.cancel`, which servers
    use.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if not future.cancelled() or (caller is not None and caller.cancelling()):
            raise
        return None
