"""Handlers at work in the background: a bounded number at a time, a bounded number waiting, and all of them owned."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast

from anyio import move_on_after
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.webhooks.event import WebhookEvent
    from rebyte_async.webhooks.handlers import Handler

__all__ = ["Crew", "Job"]

_log = logging.getLogger("rebyte_async.webhooks")


@frozen
class Job:
    """A handler that is to be called with an event."""

    handler: Handler
    event: WebhookEvent


@define(eq=False)
class Crew:
    """Does jobs. Its tasks end when there is nothing to do, so an idle receiver has none."""

    size: int
    """How many jobs are done at a time."""
    backlog: int
    """How many may wait."""
    _done: Callable[[bool], None]
    """Told of each job that was done: whether it succeeded."""
    _waiting: deque[Job] = field(factory=deque[Job], init=False)
    _reserved: int = field(default=0, init=False)
    _unreserved: asyncio.Event = field(factory=asyncio.Event, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)

    def __attrs_post_init__(self) -> None:
        self._unreserved.set()

    def reserve(self, count: int) -> bool:
        """Keep places for jobs that may come; False where there aren't enough."""
        if count and len(self._waiting) + self._reserved + count > self.backlog:
            return False
        self._book(count)
        return True

    def release(self, count: int) -> None:
        """Give places back."""
        self._book(-count)

    def take(self, job: Job) -> None:
        """Have a job done."""
        self._waiting.append(job)
        if len(self._tasks) < self.size:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let the jobs be done, those that places are kept for too, as far as the time allows; cancel the rest."""
        try:
            with move_on_after(seconds):
                await self._unreserved.wait()
                while others := self._others():
                    await asyncio.wait(others)
        finally:
            left = self._others()
            self._leave(len(left))
            for task in left:
                task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _book(self, count: int) -> None:
        self._reserved += count
        if self._reserved:
            self._unreserved.clear()
        else:
            self._unreserved.set()

    def _others(self) -> list[asyncio.Task[None]]:
        """The tasks, without the one at hand: a job that closes its own receiver doesn't wait for itself."""
        mine = asyncio.current_task()
        return [task for task in self._tasks if task is not mine and not task.done()]

    def _leave(self, running: int) -> None:
        if running or self._waiting:
            _log.warning("closing cut %d handlers off, and %d never began", running, len(self._waiting))
        self._waiting.clear()

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            self._done(await self._succeeds(job))
        # At once, not when its callbacks run: a job that comes in between would wait for a task that has ended.
        self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

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
