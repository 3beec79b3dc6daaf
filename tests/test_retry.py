"""Retries: which attempts are followed by another, after which delay, and the checks of the settings."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import fields

from rebyte_async import RetryPolicy, Timeouts
from rebyte_async._retry import Outcome, backoff, is_transient, next_delay
from rebyte_async.errors import APIError, ConfigurationError, NotFoundError, RateLimitedError, ServerError

POLICY = RetryPolicy()
NEVER_SENT = Outcome(sent=False)
LOST = Outcome(sent=True)


def status(code: int, retry_after: float | None = None) -> Outcome:
    """Make the outcome of an attempt that got a response."""
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
def test_only_safe_requests_are_tried_again(outcome: Outcome, *, idempotent: bool, again: bool) -> None:
    """A request that is not idempotent is tried again only if the server certainly did nothing."""
    assert (next_delay(POLICY, 1, outcome, idempotent=idempotent, rng=Random(1)) is not None) is again


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (LOST, True),
        (status(500), True),
        (status(502, 1), True),
        (status(503), True),
        (status(599), True),
        (NEVER_SENT, False),
        (status(503, 1), False),
        (status(429), False),
        (status(408), False),
        (status(425), False),
        (status(400), False),
        (status(404), False),
        (status(302), False),
    ],
)
def test_only_a_lost_response_or_a_5xx_leaves_it_open(outcome: Outcome, *, expected: bool) -> None:
    """A request may have been carried out without a word of it, or in spite of a 5xx, but not after a 4xx."""
    assert outcome.is_ambiguous is expected


def test_attempts_are_bounded() -> None:
    """The last allowed attempt is not followed by another."""
    assert next_delay(POLICY, 3, LOST, idempotent=True, rng=Random(1)) is not None
    assert next_delay(POLICY, 4, LOST, idempotent=True, rng=Random(1)) is None


def test_retry_after_is_the_delay_up_to_its_limit() -> None:
    """The server's `Retry-After` is the delay, up to the longest one that the policy waits for."""
    assert next_delay(POLICY, 1, status(429, 7.5), idempotent=False, rng=Random(1)) == 7.5
    assert next_delay(POLICY, 1, status(429, 120), idempotent=False, rng=Random(1)) == 120
    assert next_delay(POLICY, 1, status(429, 120.1), idempotent=False, rng=Random(1)) is None


def test_jitter_fills_the_whole_range_under_a_doubling_bound() -> None:
    """Delays spread from 0 to the bound, which doubles up to its maximum."""
    rng = Random(5)
    for failures, bound in [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (9, 8.0), (10_000, 8.0)]:
        delays = [backoff(POLICY, failures, rng) for _ in range(500)]
        assert 0 <= min(delays) < bound * 0.05
        assert bound * 0.95 < max(delays) <= bound


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerError(502), True),
        (ServerError(503, retry_after=120), True),
        (ServerError(503, retry_after=121), False),
        (RateLimitedError(429), True),
        (NotFoundError(404), False),
    ],
)
def test_an_error_is_transient_within_the_limits(error: APIError, *, expected: bool) -> None:
    """A 5xx and a 429 are transient, unless the server asks for a longer wait than the policy allows."""
    assert is_transient(POLICY, error) is expected


def test_a_policy_that_never_waits_still_tries_again() -> None:
    """Without a `Retry-After` there is nothing to wait for, so that no limit of it is exceeded."""
    policy = RetryPolicy(max_retry_after=0)
    assert is_transient(policy, ServerError(502))
    assert not is_transient(policy, ServerError(503, retry_after=0.1))


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


@pytest.mark.parametrize("settings", [Timeouts(), RetryPolicy()])
def test_the_defaults_are_those_of_the_page(settings: Timeouts | RetryPolicy) -> None:
    """The page on timeouts and retries names every setting with its default."""
    page = Path(__file__).parents[1].joinpath("docs", "retries.md").read_text("utf-8")
    for item in fields(type(settings)):
        assert f"\n| `{item.name}` | {getattr(settings, item.name):g} | " in page
