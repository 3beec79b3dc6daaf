"""The server's clock, as its answers tell it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from attrs import define

from rebyte_async import errors
from rebyte_async._clock import Time
from rebyte_async._transport.server_clock import ServerClock
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, json_response

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


@define
class Watch:
    """A monotonic clock that a test sets."""

    time: float = 100.0

    def __call__(self) -> float:
        """Its time."""
        return self.time


def test_the_servers_time_goes_on_from_its_last_answer() -> None:
    """This machine's wall clock has no part in it."""
    watch = Watch()
    clock = ServerClock(Time(watch))
    assert not clock.is_known
    assert abs(clock.now() - time.time()) < 60
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    assert clock.now() == NOON
    watch.time += 30
    assert clock.now() == NOON + 30
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    assert clock.now() == NOON + 30, "the same second, told again, doesn't turn it back"
    clock.note("Tue, 01 Jan 2030 12:00:31 GMT")
    assert clock.now() == NOON + 31


def test_what_is_no_date_is_passed_over() -> None:
    """A missing or odd header changes nothing."""
    clock = ServerClock(Time(Watch()))
    for header in (None, "", "soon", "Tue, 99 Jan 2030 12:00:00 GMT"):
        clock.note(header)
        assert not clock.is_known
    clock.note("Tue, 01 Jan 2030 12:00:00 GMT")
    clock.note("later")
    assert clock.now() == NOON


async def test_answers_of_the_api_set_the_clock() -> None:
    """Those that it gives to what was asked; an error may come from a gateway, whose clock is its own."""
    status = 404

    async def handler(_: RawRequest) -> object:
        return json_response({"data": []}, status, Date="Tue, 01 Jan 2030 12:00:00 GMT")

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.NotFoundError):
            await client.tasks.list()
        assert not client._transport.server_clock.is_known
        status = 200
        await client.tasks.list()
        assert abs(client._transport.server_clock.now() - NOON) < 30
        assert client.with_options()._transport.server_clock is client._transport.server_clock


def test_a_clock_that_tasks_contradict_is_corrected() -> None:
    """When the service has made something counts, and what `Date` tells isn't believed any more."""
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
