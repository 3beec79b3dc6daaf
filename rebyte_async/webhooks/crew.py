"""Work in the background: a bounded number of handlers at a time, a bounded number waiting, and all of it owned."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import move_on_after
from attrs import define, field, frozen

from rebyte_async.webhooks.owned import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rebyte_async.webhooks.event import WebhookEvent
    from rebyte_async.webhooks.handlers import Handler

__all__ = ["Crew", "Job"]

_log = logging.getLogger("rebyte_async.webhooks")

T = TypeVar("T")


@frozen
class Job:
    """A handler that is to be called with an event."""

    handler: Handler
    event: WebhookEvent
    context: Context = field(factory=copy_context, init=False)
    """Where it was asked for: a handler sees the context of its own request, and not of another one."""


@define(eq=False)
class Crew:
    """Does jobs, and what leads to them, until it is drained. It has a task for each, so an idle receiver has none."""

    size: int
    """How many jobs are done at a time."""
    backlog: int
    """How many may wait."""
    _done: Callable[[bool], None]
    """Told of each job that was done: whether it succeeded."""
    is_over: bool = field(default=False, init=False)
    """Whether it was drained: no job begins any more."""
    _waiting: deque[Job] = field(factory=deque[Job], init=False)
    _reserved: int = field(default=0, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)
    _leading: set[asyncio.Task[Any]] = field(factory=set["asyncio.Task[Any]"], init=False)
    """What is under way and may lead to jobs."""
    _draining: set[asyncio.Task[Any]] = field(factory=set["asyncio.Task[Any]"], init=False)
    """Jobs that are just draining the crew themselves."""

    def reserve(self, count: int) -> bool:
        """Keep places for jobs that may come; False where there aren't enough."""
        if count and len(self._waiting) + self._reserved + count > self.backlog:
            return False
        self._reserved += count
        return True

    def release(self, count: int) -> None:
        """Give places back."""
        self._reserved -= count

    async def lead(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do what may lead to jobs, to its end, even when whoever waits for it is cancelled.

        Returns:
            Its result; None where the crew was drained before it came to one.
        """
        task = asyncio.create_task(work)
        self._leading.add(task)
        task.add_done_callback(self._leading.discard)
        return await outcome(task)

    def take(self, job: Job) -> None:
        """Have a job done."""
        self._waiting.append(job)
        self._begin()

    async def drain(self, seconds: float) -> None:
        """Let what is under way and its jobs be done, as far as the time allows; cancel the rest."""
        mine = asyncio.current_task()
        if mine in self._tasks:
            self._draining.add(mine)
        try:
            with move_on_after(seconds):
                while others := self._others():
                    await asyncio.wait(others)
        finally:
            left = self._others()
            self._leave(len(self._tasks.intersection(left)))
            for task in left:
                task.cancel()
            self._draining.discard(cast("asyncio.Task[Any]", mine))
        await asyncio.gather(*left, return_exceptions=True)

    def _others(self) -> list[asyncio.Task[Any]]:
        """The tasks that somebody who drains waits for.

        A job that closes its own receiver doesn't wait for itself, nor for another one that does so: they would wait
        for each other.
        """
        mine = asyncio.current_task()
        passed_over = self._draining if mine in self._tasks else {mine}
        return [task for task in (*self._leading, *self._tasks) if task not in passed_over and not task.done()]

    def _leave(self, running: int) -> None:
        self.is_over = True
        if running or self._waiting:
            _log.warning("closing cut %d handlers off, and %d never began", running, len(self._waiting))
        self._waiting.clear()

    def _begin(self) -> None:
        """Begin as many of the waiting jobs as there is room for."""
        while self._waiting and sum(not task.done() for task in self._tasks) < self.size:
            job = self._waiting.popleft()
            task = asyncio.create_task(self._do(job), context=job.context)
            self._tasks.add(task)
            task.add_done_callback(self._ended)  # for one that is cancelled before it begins

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._begin()

    async def _do(self, job: Job) -> None:
        try:
            self._done(await self._succeeds(job))
        finally:  # at once, not when the callbacks run: whoever drains could look in between, and see no job
            self._ended(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _succeeds(self, job: Job) -> bool:
        try:
            await job.handler(job.event)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            about = (job.handler.name, job.event.event, job.event.task_id)
            _log.exception("the handler %s failed with %r for task %r", *about)
            return False
        return True
