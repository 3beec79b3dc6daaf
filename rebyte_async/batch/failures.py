"""Failures of a batch: which are waited out, which end the run, and how outcomes describe them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar, cast

from anyio import current_effective_deadline
from attrs import define, field

from rebyte_async._clock import Time
from rebyte_async.batch.settings import Tuning
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

T = TypeVar("T")
_LONGEST_SUMMARY = 2_000
_MAX_DOUBLINGS = 20


class UnresolvedCreateError(BatchError):
    """An ambiguous create stays undecided: it may have made a task, or nothing says which task it made."""

    is_final: bool = True  # False where the search for the task failed, so that another run may decide it


class ForeignCancellationError(BatchError):
    """Something that the batch awaits was cancelled, while the batch itself was not."""


def is_fatal(error: Exception) -> bool:
    """Whether no item can succeed: the key is refused, or the client can't be used."""
    kinds = AuthenticationError | InsufficientScopesError | ConfigurationError
    return isinstance(error, kinds) and not isinstance(error, InvalidRequestError)


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later. An ambiguous create is not transient: it must not be repeated."""
    kinds = TransportError | RateLimitedError | ServerError
    return isinstance(error, kinds) and not isinstance(error, AmbiguousRequestError)


def summarize_error(error: BaseException) -> str:
    """Describe an error on one line, as outcomes do: its class and its message."""
    text = " ".join(str(error).split())[:_LONGEST_SUMMARY]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def as_batch_error(error: Exception) -> BatchError:
    """Return the error that ends a run because of `error`, which no single item caused."""
    if isinstance(error, BatchError):
        return error
    result = BatchError(f"the batch can't continue: {summarize_error(error)}")
    result.__cause__ = error
    return result


def unwrap_group(error: BaseException) -> BaseException:
    """Return the error that a task group has wrapped; of several errors the first."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


@contextmanager
def reject_foreign_cancellation() -> Generator[None]:
    """Convert a CancelledError that did not target this task into an error; a task group would swallow it."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if current_effective_deadline() == float("-inf") or (task is not None and task.cancelling() > 0):
            raise
        raise ForeignCancellationError("something that the batch awaits was cancelled") from error


@define(eq=False)
class Outage:
    """A period in which calls fail transiently. Several calls may share one: how long to wait, and when to give up."""

    time: Time
    tuning: Tuning
    _since: float = field(default=math.inf, init=False)  # when the first failure without a success since then was
    _failures: int = field(default=0, init=False)

    def reset(self) -> None:
        self._since, self._failures = math.inf, 0

    def has_timed_out(self) -> bool:
        """Note a failure; return whether the outage has lasted so long that waiting should end."""
        now = self.time.clock()
        self._since = min(self._since, now)
        self._failures += 1
        return now - self._since >= self.tuning.outage_timeout

    async def wait(self, error: RebyteError) -> None:
        """Wait before the next attempt: half to all of a growing delay, and as long as the error asks for."""
        asked = error.retry_after if isinstance(error, APIError) else None
        doublings = min(self._failures - 1, _MAX_DOUBLINGS)
        longest = min(self.tuning.longest_retry_delay, self.tuning.first_retry_delay * 2.0**doublings)
        drawn = self.time.rng.uniform(longest / 2, longest)
        await self.time.sleep(max(drawn, min(asked or 0.0, self.tuning.outage_timeout)))

    async def should_retry(self, error: RebyteError) -> bool:
        """Wait, and return True, if a failed call is to be made again; return False at once if not."""
        if not is_transient(error):
            self.reset()
            return False
        if self.has_timed_out():
            return False
        await self.wait(error)
        return True

    async def retry_through(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until it succeeds, fails permanently, or the outage has lasted too long."""
        while True:
            try:
                result = await call()
            except RebyteError as error:
                if not await self.should_retry(error):
                    raise
            else:
                self.reset()
                return result
