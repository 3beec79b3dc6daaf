"""The server's clock, as its responses show it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from attrs import define

from rebyte_async import errors
from rebyte_async._clock import Time
from rebyte_async._transport.server_clock import ServerClock
from rebyte_async._wire.endpoints import LIST_TASKS
from support.clients import QUICK, transport_of
from support.raw_server import RawRequest, RawServer, json_response

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


@define
class Watch:
    """A monotonic clock that a test sets."""

    time: float = 100.0

    def __call__(self) -> float:
        """Return its time."""
        return self.time


def test_the_servers_time_continues_from_its_last_response() -> None:
    """This machine's wall clock doesn't matter."""
    watch = Watch()
    clock = ServerClock(Time(watch))
    assert not clock.is_known
    assert abs(clock.now() - time.time()) < 60
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    assert clock.now() == NOON
    watch.time += 30
    assert clock.now() == NOON + 30
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    assert clock.now() == NOON + 30, "the same second again doesn't turn it back"
    clock.note("Tue, 01 Jan 2030 12:00:31 GMT")
    assert clock.now() == NOON + 31


def test_unreadable_dates_are_ignored() -> None:
    """A missing or odd header changes nothing."""
    clock = ServerClock(Time(Watch()))
    for header in (None, "", "soon", "Tue, 99 Jan 2030 12:00:00 GMT"):
        clock.note(header)
        assert not clock.is_known
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    clock.note("later")
    assert clock.now() == NOON


async def test_responses_of_the_api_set_the_clock() -> None:
    """Only successful ones do: an error may come from a gateway, which has its own clock."""
    status = 404

    async def handler(_: RawRequest) -> object:
        return json_response({"data": []}, status, Date="Tue, 01 Jan 2030 12:00:00 GMT")

    async with RawServer(handler) as server, transport_of(server.url) as transport:
        with pytest.raises(errors.NotFoundError):
            await transport.call(LIST_TASKS)
        assert not transport.server_clock.is_known
        status = 200
        await transport.call(LIST_TASKS)
        assert abs(transport.server_clock.now() - NOON) < 30
        assert transport.with_settings(retry=QUICK).server_clock is transport.server_clock


def test_a_clock_that_tasks_contradict_is_recalibrated() -> None:
    """The times in bodies count, and `Date` is ignored from then on."""
    watch = Watch()
    clock = ServerClock(Time(watch))
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    clock.recalibrate(NOON - 60, NOON, slack=120)
    assert clock.now() == NOON
    clock.recalibrate(NOON - 3600, NOON, slack=120)
    assert clock.now() == NOON - 3600
    clock.note("Tue, 01 Jan 2030 12:00:01 GMT")
    watch.time += 5
    assert clock.now() == NOON - 3595
