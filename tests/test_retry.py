"""When to try again."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from rebyte_async import RetryPolicy, Timeouts
from rebyte_async._retry import Outcome, backoff, next_delay
from rebyte_async.errors import ConfigurationError

POLICY = RetryPolicy()
NEVER_SENT = Outcome(sent=False)
LOST = Outcome(sent=True)


def status(code: int, retry_after: float | None = None) -> Outcome:
    """An answer."""
    return Outcome(sent=True, status=code, retry_after=retry_after)


@pytest.mark.parametrize(
    ("outcome", "idempotent", "again"),
    [
        (NEVER_SENT, True, True),
        (NEVER_SENT, False, True),
        (LOST, True, True),
        (LOST, False, False),
        (status(429), True, True),
        (status(429), False, True),
        (status(503, 1), False, True),
        (status(503), False, False),
        (status(503), True, True),
        (status(500), True, True),
        (status(500), False, False),
        (status(502, 1), False, False),
        (status(400), True, False),
        (status(404), True, False),
        (status(409), False, False),
        (status(302), True, False),
    ],
)
def test_only_what_is_safe_is_tried_again(outcome: Outcome, *, idempotent: bool, again: bool) -> None:
    """A request that must not be repeated is tried again only when the server surely did nothing."""
    assert (next_delay(POLICY, 1, outcome, idempotent=idempotent, rng=Random(1)) is not None) is again


def test_attempts_are_bounded() -> None:
    """The last allowed attempt is not followed by another."""
    assert next_delay(POLICY, 3, LOST, idempotent=True, rng=Random(1)) is not None
    assert next_delay(POLICY, 4, LOST, idempotent=True, rng=Random(1)) is None


def test_retry_after_is_kept_to_the_second_or_not_at_all() -> None:
    """The server's wish is the delay, up to the longest that the policy waits out."""
    assert next_delay(POLICY, 1, status(429, 7.5), idempotent=False, rng=Random(1)) == 7.5
    assert next_delay(POLICY, 1, status(429, 120), idempotent=False, rng=Random(1)) == 120
    assert next_delay(POLICY, 1, status(429, 120.1), idempotent=False, rng=Random(1)) is None


def test_jitter_fills_the_whole_range_under_a_doubling_bound() -> None:
    """Delays spread from nothing to the bound, which doubles and then stays."""
    rng = Random(5)
    for failures, bound in [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (9, 8.0), (10_000, 8.0)]:
        delays = [backoff(POLICY, failures, rng) for _ in range(500)]
        assert min(delays) < bound * 0.05
        assert bound * 0.95 < max(delays) <= bound


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 2.5},
        {"max_attempts": True},
        {"base_delay": -1},
        {"max_delay": math.nan},
        {"budget": "50"},
    ],
)
def test_a_policy_out_of_range_is_refused_by_name(wrong: dict[str, Any]) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


@pytest.mark.parametrize("wrong", [{"connect": 0}, {"read": -1}, {"create": math.nan}, {"stream_idle": None}])
def test_timeouts_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Timeouts(**wrong)
