"""Completion hints: pass on which tasks may have ended, to those who wait for them now or later."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple
from weakref import WeakValueDictionary

from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async.webhooks.event import WebhookEvent


class Hint(NamedTuple):
    """The latest completion hint of a task."""

    version: int
    """The number of the hint: a later hint has a higher one."""
    end: str | None
    """The latest event of the task that certainly is its end; None while there was none."""


_NO_HINT = Hint(0, None)


@define(eq=False)
class CompletionHints:
    """The latest hint of each task, and the waits for newer ones."""

    _limit: int
    """The largest number of tasks whose latest hint is remembered; the oldest hints are forgotten first."""
    latest: OrderedDict[str, Hint] = field(factory=OrderedDict[str, Hint], init=False)
    """The latest hint of each task, the newest hint last."""
    _version: int = field(default=0, init=False)
    signals: WeakValueDictionary[str, Signal] = field(factory=WeakValueDictionary[str, Signal], init=False)
    """The signal of each task that is waited for. The waits hold it, so it is gone with the last of them."""
    _is_closed: bool = field(default=False, init=False)

    def publish(self, event: WebhookEvent) -> None:
        """Make an event a hint, unless it says that the task has not ended."""
        if not event.may_be_terminal:
            return
        self._version += 1
        known = self.latest.pop(event.task_id, _NO_HINT)
        # An event that only may be the end doesn't take back an earlier one that certainly was.
        self.latest[event.task_id] = Hint(self._version, str(event.event) if event.is_terminal else known.end)
        if len(self.latest) > self._limit:
            self.latest.popitem(last=False)
        if signal := self.signals.get(event.task_id):
            signal.notify()

    async def next(self, task_id: str, after: int) -> Hint | None:
        """Wait for a hint of a task that is newer than version `after`; None once the hints are closed."""
        signal = self.signals.setdefault(task_id, Signal())
        await signal.wait_for(lambda: self._is_closed or self.latest.get(task_id, _NO_HINT).version > after)
        hint = self.latest.get(task_id, _NO_HINT)
        return hint if hint.version > after else None

    def open(self) -> None:
        """Let new waits wait again after `close`."""
        self._is_closed = False

    def close(self) -> None:
        """End all waits: no hint will come any more."""
        self._is_closed = True
        for signal in list(self.signals.values()):
            signal.notify()
