"""The bounds of a run: the stop signal, the budget of creates, the slots of open tasks, and the locks of prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable

from anyio import CancelScope
from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async.errors import BatchError


class StoppedError(BatchError):
    """An item wasn't started, because the run is ending."""


@define(eq=False)
class StopSignal:
    """Says that no further create may be sent. It can't be taken back."""

    is_set: bool = field(default=False, init=False)
    reason: BaseException | None = field(default=None, init=False)  # the first error that rules out creates
    _guards: set[CancelScope] = field(factory=set[CancelScope], init=False)

    def trigger(self, reason: BaseException | None = None) -> None:
        """Allow no further create, and end every wait under `guard`."""
        self.reason = self.reason or reason
        self.is_set = True
        for scope in self._guards:
            scope.cancel()

    async def guard(self, waiting: Awaitable[object]) -> None:
        """Await something that precedes a create; raise StoppedError if the signal was or is given."""
        with CancelScope() as scope:
            self._guards.add(scope)
            try:
                if self.is_set:
                    scope.cancel()
                await waiting
            finally:
                self._guards.discard(scope)
        self.check()

    def check(self) -> None:
        if self.is_set:
            raise StoppedError("it wasn't started, because the run is ending")


@define(eq=False)
class CreateBudget:
    """How many tasks a run may make. What was reserved for a create that certainly made nothing is refunded."""

    limit: int | None  # None for any number
    spent: int = field(default=0, init=False)  # tasks, with those that undecided creates may have made
    _reserved: int = field(default=0, init=False)  # creates that are to be sent, in flight or ambiguous
    _changed: Signal = field(factory=Signal, init=False)

    async def reserve(self) -> bool:
        """Reserve one create, after a refund if others have reserved the rest; return False when all is spent."""
        await self._changed.wait_for(lambda: self._has_room() or self._reserved == 0)
        if not self._has_room():
            return False
        self._reserved += 1
        return True

    def _has_room(self) -> bool:
        return self.limit is None or self.spent + self._reserved < self.limit

    def spend(self) -> None:
        self._reserved -= 1
        self.spent += 1
        self._changed.notify()

    def refund(self) -> None:
        self._reserved -= 1
        self._changed.notify()


@define(eq=False)
class ItemSlots:
    """A semaphore for open tasks, which those of earlier runs may overdraw."""

    _free: int  # below 0 when overdrawn
    _changed: Signal = field(factory=Signal, init=False)

    async def acquire(self) -> None:
        await self.wait_free()
        self._free -= 1

    async def wait_free(self) -> None:
        """Wait until a slot is free, and don't take it."""
        await self._changed.wait_for(lambda: self._free > 0)

    def force_acquire(self) -> None:
        """Take a slot for a task that is open already, even if none is free."""
        self._free -= 1

    def release(self) -> None:
        self._free += 1
        self._changed.notify()


@define(eq=False)
class PromptLocks:
    """Per-prompt locks: a create waits while another create with the same prompt is ambiguous.

    Creates with the same prompt may be in flight together. But a task that turns up while one of them is ambiguous must
    be that one's, so no further create with the prompt is sent before it is decided.
    """

    changed: Signal = field(factory=Signal, init=False)
    _in_flight: Counter[bytes] = field(factory=Counter[bytes], init=False)  # creates by their prompt's hash
    _ambiguous: Counter[bytes] = field(factory=Counter[bytes], init=False)

    def is_free(self, prompt_hash: bytes) -> bool:
        return self._ambiguous[prompt_hash] == 0

    async def wait_free(self, prompt_hash: bytes) -> None:
        await self.changed.wait_for(lambda: self.is_free(prompt_hash))

    def are_all_ambiguous(self, prompt_hash: bytes, count: int) -> bool:
        return self._in_flight[prompt_hash] == 0 and self._ambiguous[prompt_hash] == count

    def start(self, prompt_hash: bytes) -> None:
        self._in_flight[prompt_hash] += 1

    def complete(self, prompt_hash: bytes, *, is_ambiguous: bool) -> None:
        self._subtract(self._in_flight, prompt_hash)
        if is_ambiguous:
            self._ambiguous[prompt_hash] += 1
        self.changed.notify()

    def resolve(self, prompt_hash: bytes) -> None:
        self._subtract(self._ambiguous, prompt_hash)
        self.changed.notify()

    @staticmethod
    def _subtract(counts: Counter[bytes], prompt_hash: bytes) -> None:
        counts[prompt_hash] -= 1
        if not counts[prompt_hash]:
            del counts[prompt_hash]  # a batch has many prompts
