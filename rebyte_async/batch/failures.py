"""What to do about a service that doesn't answer as it should."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from anyio import current_effective_deadline
from attrs import define, field

from rebyte_async.errors import (
    AmbiguousRequestError,
    APIError,
    AuthenticationError,
    BatchError,
    ConfigurationError,
    InsufficientScopesError,
    InvalidRequestError,
    RateLimitedError,
    RebyteError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from rebyte_async._transport.gate import Gate
    from rebyte_async.batch.settings import Tuning

__all__ = ["StrayCancelError", "Trouble", "first_of", "in_one_line", "is_fatal", "is_passing", "no_stray_cancel"]

T = TypeVar("T")
_LONGEST_LINE = 2_000


def is_fatal(error: Exception) -> bool:
    """Whether no item can succeed: the key is refused, or the client can't be used."""
    if isinstance(error, InvalidRequestError):
        return False
    return isinstance(error, AuthenticationError | InsufficientScopesError | ConfigurationError)


def is_passing(error: Exception) -> bool:
    """Whether the same call may go better later. Not for a create whose fate is in doubt."""
    if isinstance(error, AmbiguousRequestError):
        return False
    return isinstance(error, TransportError | RateLimitedError | ServerError)


def in_one_line(error: BaseException) -> str:
    """An error as an outcome tells it: its class and its message."""
    text = " ".join(str(error).split())[:_LONGEST_LINE]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class StrayCancelError(BatchError):
    """Something that the batch waited for was cancelled, and the batch wasn't."""


@contextmanager
def no_stray_cancel() -> Generator[None]:
    """Tell a cancel that nobody asked the current task for: a task group would take it for the end of its work.

    Raises:
        StrayCancelError: There was one.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if current_effective_deadline() == float("-inf") or (task is not None and task.cancelling() > 0):
            raise
        raise StrayCancelError("something that the batch waited for was cancelled") from error


def first_of(error: BaseException) -> BaseException:
    """What a task group has wrapped, as it was raised; of several errors the first."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


@define(eq=False)
class Trouble:
    """Passing trouble, which several may share: how long to wait, and when to give up."""

    tuning: Tuning
    gate: Gate
    _since: float | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)

    def over(self) -> None:
        """Note that the service has answered."""
        self._since, self._failures = None, 0

    def is_too_long(self) -> bool:
        """Note a failure; whether trouble has lasted for so long that nobody should wait any more."""
        now = self.gate.clock()
        if self._since is None:
            self._since = now
        self._failures += 1
        return now - self._since >= self.tuning.patience

    async def pause(self, error: RebyteError) -> None:
        """Wait before trying again."""
        asked = error.retry_after if isinstance(error, APIError) else None
        bound = min(self.tuning.longest_pause, self.tuning.first_pause * 2.0 ** min(self._failures - 1, 20))
        drawn = self.gate.rng.uniform(bound / 2, bound)
        await self.gate.sleep(max(drawn, min(asked or 0.0, self.tuning.patience)))

    async def outlast(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be repeated until it succeeds.

        Raises:
            RebyteError: It failed for good, or for too long.
        """
        while True:
            try:
                result = await call()
            except RebyteError as error:
                if not await self.passes(error):
                    raise
            else:
                self.over()
                return result

    async def passes(self, error: RebyteError) -> bool:
        """Wait before a call that failed is made again; False, and at once, where it isn't to be."""
        if not is_passing(error):
            self.over()
            return False
        if self.is_too_long():
            return False
        await self.pause(error)
        return True
