"""Word that tasks have ended, for whoever waits for it, or will."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from rebyte_async.webhooks.event import WebhookEvent

__all__ = ["Notices"]

_KEPT = 10_000
"""Tasks whose latest word is remembered."""


@define(eq=False)
class Notices:
    """The latest word of each task, the newest last."""

    _words: OrderedDict[str, tuple[int, str | None]] = field(
        factory=OrderedDict["str", "tuple[int, str | None]"], init=False
    )
    _count: int = field(default=0, init=False)
    _waiting: dict[str, set[asyncio.Future[None]]] = field(factory=dict["str", "set[asyncio.Future[None]]"], init=False)
    _is_closed: bool = field(default=False, init=False)

    def tell(self, event: WebhookEvent) -> None:
        """Pass on an event; one that can't be an end is no word."""
        if not event.may_be_terminal:
            return
        self._count += 1
        # What may be an end takes nothing back from what was one.
        _, known = self._words.pop(event.task_id, (0, None))
        self._words[event.task_id] = (self._count, str(event.event) if event.is_terminal else known)
        if len(self._words) > _KEPT:
            self._words.popitem(last=False)
        self._wake(self._waiting.get(event.task_id, set()))

    def open(self) -> None:
        """Word may come again."""
        self._is_closed = False

    def close(self) -> None:
        """No more word will come."""
        self._is_closed = True
        for waiting in self._waiting.values():
            self._wake(waiting)

    async def next(self, task_id: str, after: int) -> tuple[int, str | None] | None:
        """The latest word of a task, when it is newer: its number, and the latest event that is known to be an end.

        None when no more word will come.
        """
        while True:
            word = self._words.get(task_id, (0, None))
            if word[0] > after:
                return word
            if self._is_closed:
                return None
            await self._changed(task_id)

    async def _changed(self, task_id: str) -> None:
        future = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(task_id, set())
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(task_id) is waiting:
                del self._waiting[task_id]

    @staticmethod
    def _wake(waiting: set[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
