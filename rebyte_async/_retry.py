"""When to try again, and after how long: pure, with the randomness handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from rebyte_async.errors import APIError, RateLimitedError, ServerError

if TYPE_CHECKING:
    from random import Random

    from rebyte_async._settings import RetryPolicy

__all__ = ["Outcome", "backoff", "is_transient", "next_delay"]

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_UNAVAILABLE = 503


@frozen
class Outcome:
    """What became of an attempt that didn't succeed."""

    sent: bool
    """Whether the server may have read the request."""
    status: int | None = None
    """The answer's status, when one came."""
    retry_after: float | None = None
    """The answer's `Retry-After`, in seconds."""

    @property
    def was_not_processed(self) -> bool:
        """Whether the server surely did nothing: it was never reached, or it said so."""
        refused = self.status == _UNAVAILABLE and self.retry_after is not None
        return not self.sent or self.status == _TOO_MANY_REQUESTS or refused

    @property
    def transient(self) -> bool:
        """Whether another attempt may go better."""
        return self.status is None or self.status == _TOO_MANY_REQUESTS or self.status >= _SERVER_ERROR


def is_transient(policy: RetryPolicy, error: APIError) -> bool:
    """Whether an answer may be another one before long."""
    return isinstance(error, ServerError | RateLimitedError) and (error.retry_after or 0) <= policy.max_retry_after


def backoff(policy: RetryPolicy, failures: int, rng: Random) -> float:
    """The delay after so many failures (from 1) in a row, in seconds: full jitter under a doubling bound."""
    return rng.uniform(0, min(policy.max_delay, policy.base_delay * 2.0 ** min(failures - 1, 60)))


def next_delay(policy: RetryPolicy, attempt: int, outcome: Outcome, *, idempotent: bool, rng: Random) -> float | None:
    """The delay before the next attempt, in seconds, or None to stop.

    Args:
        policy: The limits.
        attempt: How many attempts were made, from 1.
        outcome: What became of the last one.
        idempotent: Whether the request may reach the server twice.
        rng: The source of the jitter.
    """
    if attempt >= policy.max_attempts or not outcome.transient or not (idempotent or outcome.was_not_processed):
        return None
    if outcome.retry_after is None:
        return backoff(policy, attempt, rng)
    return outcome.retry_after if outcome.retry_after <= policy.max_retry_after else None
