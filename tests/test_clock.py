"""Time as an argument, and growing intervals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from random import Random
from typing import Any, TypeAlias

import freezegun
import pytest
import time_machine
from attrs import evolve

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async._clock import Time, intervals
from rebyte_async.emulator import Cut, Emulator, Match, Status, text

Freeze: TypeAlias = "Callable[[str], AbstractContextManager[Any]]"


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


@pytest.mark.parametrize(
    "freeze",
    [partial(freezegun.freeze_time, real_asyncio=True), partial(time_machine.travel, tick=False)],
    ids=["freezegun", "time-machine"],
)
def test_a_frozen_clock_stops_nothing(rebyte_emulator: Emulator, freeze: Freeze) -> None:
    """In a test of an application that freezes the time, pauses, retries and reconnects end as usual."""

    async def work() -> str | None:
        async with AsyncRebyte(
            rebyte_emulator.api_key, base_url=rebyte_emulator.url, retry=RetryPolicy(base_delay=0.01)
        ) as client:
            await client.tasks.list()
            return (await client.tasks.run("x")).status

    rebyte_emulator.faults.add(Status(429), Match("GET", "/tasks"))
    rebyte_emulator.faults.add(Cut(events=1))
    rebyte_emulator.script(text("Done."))
    with freeze("2026-01-01"):
        assert asyncio.run(work()) == "completed"
    assert rebyte_emulator.log.select("GET", "/tasks")[0].status == 429
