"""The end of creating: what waits to send a create is woken then, and sends none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope
from attrs import define, field

from rebyte_async._transport.gate import Gate
from rebyte_async.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rebyte_async._settings import RetryPolicy

__all__ = ["Halt", "HaltingGate", "StoppedError"]


class StoppedError(BatchError):
    """An item wasn't started, because the run is ending."""


@define(eq=False)
class Halt:
    """Says that no create is to be sent any more."""

    is_called: bool = field(default=False, init=False)
    _waits: set[CancelScope] = field(factory=set[CancelScope], init=False)

    def call(self) -> None:
        """Have no create be sent any more."""
        self.is_called = True
        for scope in self._waits:
            scope.cancel()

    async def over(self, wait: Awaitable[None]) -> None:
        """Wait for something that comes before a create.

        Raises:
            StoppedError: There is to be no create any more.
        """
        with CancelScope() as scope:
            self._waits.add(scope)
            try:
                if self.is_called:
                    scope.cancel()
                await wait
            finally:
                self._waits.discard(scope)
        self.check()

    def check(self) -> None:
        """See whether a create may be sent.

        Raises:
            StoppedError: None is to be sent any more.
        """
        if self.is_called:
            raise StoppedError("it wasn't started, because the run is ending")


@define(eq=False)
class HaltingGate(Gate):
    """The client's gate, for creates: what stands before it when the run ends doesn't pass.

    An attempt that waits here hasn't been sent, and one that is to be repeated has surely made nothing.
    """

    real: Gate
    halt: Halt

    @classmethod
    def before(cls, real: Gate, halt: Halt) -> HaltingGate:
        """The gate that is passed on the way to the real one."""

        async def sleep(seconds: float) -> None:
            await halt.over(real.sleep(seconds))

        return cls(real.clock, sleep, real.rng, real, halt)

    def pause(self, seconds: float) -> None:
        """Let nothing of the client start for so long."""
        self.real.pause(seconds)

    @property
    def is_open(self) -> bool:
        """Whether a create may be sent at once."""
        return self.real.is_open and not self.halt.is_called

    async def passed(self) -> None:
        """Wait until no pause is on.

        Raises:
            StoppedError: The run is ending.
        """
        await self.halt.over(self.real.passed())

    def take(self, policy: RetryPolicy) -> bool:
        """Pay for a retry from the client's purse."""
        return self.real.take(policy)

    def give_back(self) -> None:
        """Note a success."""
        self.real.give_back()
