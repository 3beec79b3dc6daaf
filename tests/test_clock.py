"""Time as an argument, and growing intervals."""

from __future__ import annotations

import time
from itertools import islice
from random import Random

from attrs import evolve

from rebyte_async._clock import Time, intervals


def test_intervals_grow_up_to_the_longest() -> None:
    """Each interval is longer than the one before by the factor, until the longest is reached."""
    assert list(islice(intervals(1.0, factor=2.0, longest=5.0), 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_first_interval_is_yielded_as_given() -> None:
    """Only the intervals after the first are limited."""
    assert list(islice(intervals(9.0, factor=2.0, longest=5.0), 3)) == [9.0, 5.0, 5.0]


async def test_time_is_this_machines_unless_replaced() -> None:
    """A test replaces what it needs; the rest works as usual."""
    times = evolve(Time(), rng=Random(1))
    assert abs(times.clock() - time.monotonic()) < 60
    assert abs(times.wall() - time.time()) < 60
    assert times.rng.random() == Random(1).random()
    await times.sleep(0)


def test_each_time_has_its_own_random_numbers() -> None:
    """Two clients that start together don't retry together."""
    assert Time().rng.random() != Time().rng.random()
