"""The end of creating: once the stop signal is given, no create is sent, and what waits to send one is woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope
from attrs import define, field

from rebyte_async._transport.gate import Gate
from rebyte_async.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rebyte_async._settings import RetryPolicy

__all__ = ["HaltingGate", "StopSignal", "StoppedError"]


class StoppedError(BatchError):
    """An item wasn't started, because the run is ending."""


@define(eq=False)
class StopSignal:
    """Says that no further create may be sent. It can't be taken back."""

    is_set: bool = field(default=False, init=False)
    reason: BaseException | None = field(default=None, init=False)
    """The first error that ruled out further creates, if an error did."""
    _guards: set[CancelScope] = field(factory=set[CancelScope], init=False)

    def trigger(self, reason: BaseException | None = None) -> None:
        """Allow no further create, and end every wait under `guard`."""
        self.reason = self.reason or reason
        self.is_set = True
        for scope in self._guards:
            scope.cancel()

    async def guard(self, waiting: Awaitable[None]) -> None:
        """Await something that precedes a create; the signal ends the wait.

        Raises:
            StoppedError: The signal was given, before this call or during it.
        """
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
        """Do nothing if a create may be sent.

        Raises:
            StoppedError: The signal was given.
        """
        if self.is_set:
            raise StoppedError("it wasn't started, because the run is ending")


@define(eq=False)
class HaltingGate(Gate):
    """The client's gate, for creates: what waits for it when the stop signal is given fails with StoppedError.

    An attempt that waits here hasn't been sent, and one that is to be repeated has certainly made nothing.
    """

    real: Gate
    stop: StopSignal

    @classmethod
    def before(cls, real: Gate, stop: StopSignal) -> HaltingGate:
        """Return the gate that waits for the real one under the stop signal."""

        async def sleep(seconds: float) -> None:
            await stop.guard(real.sleep(seconds))

        return cls(real.clock, sleep, real.rng, real, stop)

    def pause(self, seconds: float) -> None:
        """Pause the whole client."""
        self.real.pause(seconds)

    @property
    def is_open(self) -> bool:
        """Whether a create may be sent at once."""
        return self.real.is_open and not self.stop.is_set

    async def passed(self) -> None:
        """Wait until no pause is on.

        Raises:
            StoppedError: The run is ending.
        """
        await self.stop.guard(self.real.passed())

    def take(self, policy: RetryPolicy) -> bool:
        """Spend from the client's retry budget."""
        return self.real.take(policy)

    def give_back(self) -> None:
        """Refund the client's retry budget."""
        self.real.give_back()
