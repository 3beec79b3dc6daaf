"""Decide whether to try again, and after how long: pure, with the random numbers as an argument."""

from __future__ import annotations

from http import HTTPStatus
from random import Random

from attrs import frozen

from rebyte_async._settings import RetryPolicy
from rebyte_async.errors import APIError

_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@frozen
class Outcome:
    """How an attempt failed."""

    sent: bool
    """Whether the server may have read the request."""
    status: int | None = None
    """The response's status; None when no response came."""
    retry_after: float | None = None
    """The response's `Retry-After`, in seconds."""

    @property
    def was_not_processed(self) -> bool:
        """Whether the server certainly did nothing: the request never reached it, or it said so."""
        refused = self.status == HTTPStatus.SERVICE_UNAVAILABLE and self.retry_after is not None
        return not self.sent or self.status == HTTPStatus.TOO_MANY_REQUESTS or refused

    @property
    def is_transient(self) -> bool:
        """Whether another attempt may succeed."""
        return self.status is None or is_transient_status(self.status)

    @property
    def is_ambiguous(self) -> bool:
        """Whether the server may have carried out the request: it refuses with 4xx what it doesn't carry out."""
        refused = self.status is not None and self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return self.is_transient and not self.was_not_processed and not refused


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed soon: the server or a gateway failed, was busy, or waited too long."""
    return status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def is_transient(policy: RetryPolicy, error: APIError) -> bool:
    """Whether the same request may succeed before long, within the policy's `max_retry_after`."""
    return is_transient_status(error.status) and (error.retry_after or 0) <= policy.max_retry_after


def backoff(policy: RetryPolicy, failures: int, rng: Random) -> float:
    """Return the delay after one or more failures in a row, in seconds: full jitter under a doubling bound."""
    return rng.uniform(0, min(policy.max_delay, policy.base_delay * 2.0 ** min(failures - 1, 60)))


def next_delay(policy: RetryPolicy, attempt: int, outcome: Outcome, *, idempotent: bool, rng: Random) -> float | None:
    """Return the delay after attempt number `attempt`, which failed, in seconds; None to stop."""
    may_repeat = idempotent or outcome.was_not_processed
    if attempt >= policy.max_attempts or not outcome.is_transient or not may_repeat:
        return None
    if outcome.retry_after is None:
        return backoff(policy, attempt, rng)
    return outcome.retry_after if outcome.retry_after <= policy.max_retry_after else None
