"""What bounds a run: the budget of creates, the slots of open tasks, and the locks of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async._sync import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CreateBudget", "ItemSlots", "PromptLocks"]


@define(eq=False)
class CreateBudget:
    """How many tasks a run may make. What was reserved for a create that certainly made nothing is refunded."""

    limit: int | None
    """How many tasks may be made; None for any number."""
    spent: int = field(default=0, init=False)
    """How many tasks were made, with those that ambiguous creates may have made."""
    _reserved: int = field(default=0, init=False)
    """Creates that are to be sent, in flight or ambiguous."""
    _changed: Signal = field(factory=Signal, init=False)

    async def reserve(self) -> bool:
        """Reserve one create; return False when the budget is spent.

        While all that is left is reserved by others, this waits for a refund.
        """
        await self._changed.wait_for(lambda: self._has_room() or self._reserved == 0)
        if not self._has_room():
            return False
        self._reserved += 1
        return True

    def _has_room(self) -> bool:
        return self.limit is None or self.spent + self._reserved < self.limit

    def spend(self) -> None:
        """Note that a reserved create made a task, or may have made one."""
        self._reserved -= 1
        self.spent += 1
        self._changed.notify()

    def refund(self) -> None:
        """Note that a reserved create certainly made nothing."""
        self._reserved -= 1
        self._changed.notify()


@define(eq=False)
class ItemSlots:
    """A semaphore for open tasks, which those of earlier runs may overdraw."""

    _free: int
    """How many slots are free; below 0 when overdrawn."""
    _changed: Signal = field(factory=Signal, init=False)

    async def acquire(self) -> None:
        """Take a slot; wait until one is free. Only one caller may wait at a time."""
        await self._changed.wait_for(lambda: self._free > 0)
        self._free -= 1

    def force_acquire(self) -> None:
        """Take a slot for a task that is open already, even if none is free."""
        self._free -= 1

    def release(self) -> None:
        """Give a slot back."""
        self._free += 1
        self._changed.notify()


@define
class _Counts:
    in_flight: int = 0
    ambiguous: int = 0


@define(eq=False)
class PromptLocks:
    """Per-prompt locks: a create waits while another create with the same prompt is ambiguous.

    Creates with the same prompt may be in flight together. But a task that turns up while one of them is ambiguous must
    be that one's, so no further create with the prompt is sent before it is resolved.
    """

    _counts: dict[bytes, _Counts] = field(factory=dict[bytes, _Counts], init=False)
    _changed: Signal = field(factory=Signal, init=False)

    def is_free(self, prompt_hash: bytes) -> bool:
        """Whether a create with this prompt may be sent."""
        return prompt_hash not in self._counts or self._counts[prompt_hash].ambiguous == 0

    async def wait_free(self, prompt_hash: bytes) -> None:
        """Wait until a create with this prompt may be sent."""
        await self._changed.wait_for(lambda: self.is_free(prompt_hash))

    def are_all_ambiguous(self, prompt_hash: bytes, count: int) -> bool:
        """Whether exactly `count` creates with this prompt are ambiguous, and none is in flight."""
        counts = self._counts.get(prompt_hash, _Counts())
        return counts.in_flight == 0 and counts.ambiguous == count

    async def wait_for(self, predicate: Callable[[], object]) -> None:
        """Wait until `predicate` is true. It is asked at once and after each change and `notify`."""
        await self._changed.wait_for(predicate)

    def notify(self) -> None:
        """Have `wait_for` ask again."""
        self._changed.notify()

    def start(self, prompt_hash: bytes) -> None:
        """Note that a create is in flight."""
        self._counts.setdefault(prompt_hash, _Counts()).in_flight += 1

    def complete(self, prompt_hash: bytes, *, is_ambiguous: bool) -> None:
        """Note that a create is no longer in flight."""
        self._counts[prompt_hash].in_flight -= 1
        self._counts[prompt_hash].ambiguous += is_ambiguous
        self._release(prompt_hash)

    def resolve(self, prompt_hash: bytes) -> None:
        """Note that an ambiguous create was decided."""
        self._counts[prompt_hash].ambiguous -= 1
        self._release(prompt_hash)

    def _release(self, prompt_hash: bytes) -> None:
        counts = self._counts[prompt_hash]
        if counts.in_flight == counts.ambiguous == 0:
            del self._counts[prompt_hash]
        self._changed.notify()
