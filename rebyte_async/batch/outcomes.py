"""The outcomes of items, and the queue in which their outcomes wait to be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

from rebyte_async._sync import Signal
from rebyte_async.types.values import Value

__all__ = ["BatchOutcome", "BatchStatus"]

_LONGEST_LINE = 2_000

BatchStatus: TypeAlias = Literal["completed", "failed", "canceled", "error", "ambiguous", "skipped"]
"""The six ways in which an item can end."""


def explain_end(status: str, final_result: str | None) -> str | None:
    """Return the error of an outcome that came without one: every item that didn't complete has some."""
    match status:
        case "completed":
            return None
        case "failed":  # what the agent said last often says why
            line = (final_result or "").strip().partition("\n")[0].strip()[:_LONGEST_LINE]
            return line or "the task failed without giving a reason"
        case "canceled":
            return "the task was canceled"
        case "skipped":
            return "not started: max_new_tasks was reached before it"
        case _:
            return f"the task ended with the status {status!r:.80}"


@frozen
class ItemEnd:
    """How an item ended, or why the wait for its end was given up."""

    status: BatchStatus | str
    final_result: str | None = None
    error: str | None = None
    ended_at: datetime | None = None
    """When the task ended, by its own account."""
    is_final: bool = True
    """False where another run may see another end. It is handed out then, but not recorded."""


@frozen(kw_only=True, repr=False)
class BatchOutcome(Value):
    """The outcome of one item of a batch."""

    key: str
    """The item's key."""
    status: BatchStatus | str
    """`completed`, `failed`, `canceled`: the task ended so. `error`: no task could be created, or its end not read.
    `ambiguous`: a task may have been created, and which one can't be decided. `skipped`: beyond `max_new_tasks`."""
    task_id: str | None = None
    """The id of its task, where one is known."""
    final_result: str | None = None
    """What the agent said at the end; None where there is nothing."""
    error: str | None = None
    """The error on one line: its class and message, the agent's own last error, or the first line of what it said. None
    only where the item completed."""
    attempts: int = 0
    """How many creates were sent that the server may have read."""
    started_at: datetime | None = None
    """When its task was created, by the server's clock."""
    ended_at: datetime | None = None
    """When its task ended, by the server's clock: its own time if that was read, else when the end was noticed."""
    workspace_id: str | None = None
    """The id of the agent computer that its task ran on, where one is known."""
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)
    """The item's metadata."""

    @property
    def is_success(self) -> bool:
        """Whether the task completed."""
        return self.status == "completed"


@define(eq=False)
class OutcomeQueue:
    """Passes outcomes from the scheduler to the application, which slows the intake of items down by not reading.

    It refers to neither side, so that a run which the application drops can be noticed.
    """

    window: int  # how many items may be taken whose outcomes aren't read yet
    ordered: bool  # whether outcomes come in the order in which their items were taken
    _taken: int = field(default=0, init=False)
    _read: int = field(default=0, init=False)
    _ready: deque[BatchOutcome] = field(factory=deque[BatchOutcome], init=False)
    _early: dict[int, BatchOutcome] = field(factory=dict[int, BatchOutcome], init=False)  # by number, until due
    _next: int = field(default=0, init=False)  # in an ordered queue, the number of the item whose outcome is due
    _is_closed: bool = field(default=False, init=False)
    _failure: BaseException | None = field(default=None, init=False)
    _filled: Signal = field(factory=Signal, init=False)
    _emptied: Signal = field(factory=Signal, init=False)

    async def wait_for_room(self) -> int:
        """Wait until items may be taken; return how many, at least one."""
        await self._emptied.wait_for(lambda: self._taken - self._read < self.window)
        return self.window - (self._taken - self._read)

    def register(self) -> int:
        """Note that an item was taken; return its number, which `put` needs."""
        self._taken += 1
        return self._taken - 1

    def put(self, number: int, outcome: BatchOutcome) -> None:
        if not self.ordered:
            self._ready.append(outcome)
        else:
            self._early[number] = outcome
            while (due := self._early.pop(self._next, None)) is not None:
                self._ready.append(due)
                self._next += 1
        if self._ready:
            self._filled.notify()

    def close(self, failure: BaseException | None = None) -> None:
        """Add no further outcome. `failure` is raised after those that were added."""
        # Where the run ended early, outcomes that wait for their order are better given out of order than not given.
        self._ready.extend(self._early[number] for number in sorted(self._early))
        self._early.clear()
        self._is_closed = True
        self._failure = failure
        self._filled.notify()

    async def get(self) -> BatchOutcome | None:
        """Return the next outcome, or None when there is no other; raise the error that ended the run, once."""
        await self._filled.wait_for(lambda: self._ready or self._is_closed)
        if self._ready:
            self._read += 1
            self._emptied.notify()
            return self._ready.popleft()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return None
