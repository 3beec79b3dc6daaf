"""Call handlers with events, in the background: a bounded number at once, and a bounded number waiting."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeAlias, TypeVar, cast

from anyio import move_on_after, to_thread
from attrs import define, field, frozen

from rebyte_async._sync import await_shielded
from rebyte_async.webhooks.event import WebhookEvent

_log = logging.getLogger("rebyte_async.webhooks")

T = TypeVar("T")
EventHandler: TypeAlias = Callable[[WebhookEvent], Any]
"""A function that takes an event: a coroutine function, or a plain function, which runs in a thread."""


@frozen
class Handler:
    """A function, and the names of the events that it is called for."""

    function: EventHandler
    names: frozenset[str]
    """The names; empty for all events."""

    def wants(self, event: WebhookEvent) -> bool:
        """Whether the function is to be called for an event."""
        return not self.names or event.event in self.names

    async def __call__(self, event: WebhookEvent) -> None:
        """Call the function, in a thread unless it is a coroutine function."""
        if _is_async(self.function):
            result = self.function(event)
        else:  # a thread can't be stopped, so one that is still running when the receiver closes is abandoned
            result = await to_thread.run_sync(self.function, event, abandon_on_cancel=True)
        if inspect.isawaitable(result):
            await cast("Awaitable[object]", result)


_Job: TypeAlias = tuple[Handler, WebhookEvent, Context]


@define(eq=False)
class HandlerPool:
    """Runs jobs, which are calls of handlers, and the work that leads to them, until it is drained.

    Each job has its own task, so an idle pool has none. The pool owns all of its tasks: `drain` leaves none running.
    """

    _concurrency: int
    """How many jobs run at once."""
    _backlog: int
    """How many jobs may wait."""
    _on_done: Callable[[bool], None]
    """Called after each job, with whether it succeeded."""
    is_closed: bool = field(default=False, init=False)
    """Whether the pool was drained: no job starts any more."""
    _waiting: deque[_Job] = field(factory=deque["_Job"], init=False)
    _reserved: int = field(default=0, init=False)
    _jobs: set[asyncio.Task[Any]] = field(factory=set["asyncio.Task[Any]"], init=False)
    _shielded: set[asyncio.Task[Any]] = field(factory=set["asyncio.Task[Any]"], init=False)
    """The tasks of `run_shielded`."""
    _draining: set[asyncio.Task[Any]] = field(factory=set["asyncio.Task[Any]"], init=False)
    """The jobs that are draining the pool now."""

    def reserve(self, count: int) -> bool:
        """Reserve places in the backlog; False if there are not enough."""
        if count and len(self._waiting) + self._reserved + count > self._backlog:
            return False
        self._reserved += count
        return True

    def release(self, count: int) -> None:
        """Give reserved places back."""
        self._reserved -= count

    async def run_shielded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run work, which may submit jobs, to its end even if the caller is cancelled. None if `drain` cancelled it."""
        task = asyncio.create_task(work)
        self._shielded.add(task)
        task.add_done_callback(self._shielded.discard)
        return await await_shielded(task)

    def submit(self, handler: Handler, event: WebhookEvent) -> None:
        """Call a handler as soon as there is a place for it, in the context of the request that led to the call."""
        self._waiting.append((handler, event, copy_context()))
        self._start_waiting()

    async def drain(self, seconds: float) -> None:
        """Wait for all work and jobs, at most for so long; then cancel the rest, and start no job any more."""
        current = asyncio.current_task()
        if current in self._jobs:
            self._draining.add(current)
        try:
            with move_on_after(seconds):
                while others := self._others():
                    await asyncio.wait(others)
        finally:
            rest = self._others()
            self.is_closed = True
            running = len(self._jobs.intersection(rest))
            if running or self._waiting:
                _log.warning("closing cut %d handlers off, and %d never began", running, len(self._waiting))
            self._waiting.clear()
            for task in rest:
                task.cancel()
            self._draining.discard(cast("asyncio.Task[Any]", current))
        await asyncio.gather(*rest, return_exceptions=True)

    def _others(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that the current task must wait for when it drains the pool.

        A job that closes its own receiver waits neither for itself nor for another job that does the same: the two
        would wait for each other forever.
        """
        current = asyncio.current_task()
        ignored = self._draining if current in self._jobs else {current}
        return [task for task in (*self._shielded, *self._jobs) if task not in ignored and not task.done()]

    def _start_waiting(self) -> None:
        while self._waiting and len(self._jobs) < self._concurrency:
            handler, event, context = self._waiting.popleft()
            task = asyncio.create_task(self._run(handler, event), context=context)
            self._jobs.add(task)
            task.add_done_callback(self._remove)  # for a task that is cancelled before it starts

    def _remove(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        self._start_waiting()

    async def _run(self, handler: Handler, event: WebhookEvent) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        await asyncio.sleep(0)  # an eager task begins before `_start_waiting` has it among the jobs
        try:
            await handler(event)
        except (Exception, asyncio.CancelledError) as error:
            # A CancelledError that the handler raised by itself is a failure like any other.
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise
            name = getattr(handler.function, "__qualname__", type(handler.function).__name__)
            _log.exception("the handler %s failed with %r for task %r", name, event.event, event.task_id)
            self._on_done(False)
        else:
            self._on_done(True)
        finally:
            # Not only by the callback, which runs later: `drain` could look before it and see no job to wait for.
            self._remove(task)


def _is_async(function: object) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - asks whether it is a coroutine function, not whether it exists
