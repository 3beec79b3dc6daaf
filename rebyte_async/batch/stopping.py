"""The end of creating: once the stop signal is given, no create is sent, and what waits to send one is woken."""

from __future__ import annotations

from collections.abc import Awaitable

from anyio import CancelScope
from attrs import define, evolve, field

from rebyte_async._transport import Throttle, Transport
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
class StoppableThrottle:
    """The client's throttle, for creates: an attempt that waits here when the stop signal is given is never sent.

    It hasn't been sent yet, and one that is to be repeated has certainly made nothing.
    """

    _real: Throttle
    _stop: StopSignal

    def pause(self, seconds: float) -> None:
        self._real.pause(seconds)

    @property
    def is_open(self) -> bool:
        return self._real.is_open and not self._stop.is_set

    async def wait_until_open(self) -> None:
        await self._stop.guard(self._real.wait_until_open())


def stoppable(transport: Transport, stop: StopSignal) -> Transport:
    """Return the transport for creates: its waits before an attempt end with StoppedError when the run does."""

    async def sleep(seconds: float) -> None:
        await stop.guard(transport.time.sleep(seconds))

    return transport.with_settings(
        time=evolve(transport.time, sleep=sleep), throttle=StoppableThrottle(transport.throttle, stop)
    )
