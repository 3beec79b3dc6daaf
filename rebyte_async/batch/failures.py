"""Failures of a batch: which are transient, which end the run, and how outcomes describe them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from anyio import current_effective_deadline

from rebyte_async.errors import (
    AmbiguousRequestError,
    AuthenticationError,
    BatchError,
    ConfigurationError,
    InsufficientScopesError,
    InvalidRequestError,
    RateLimitedError,
    ServerError,
    TransportError,
)

_LONGEST_SUMMARY = 2_000


class UnresolvedCreateError(BatchError):
    """An ambiguous create stays undecided: it may have made a task, or nothing says which task it made."""

    is_final: bool = True  # False where the search for the task failed, so that another run may decide it


class ForeignCancellationError(BatchError):
    """Something that the batch awaits was cancelled, while the batch itself was not."""


def is_fatal(error: Exception) -> bool:
    """Whether no item can succeed: the API key is refused, or the client can't be used."""
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
