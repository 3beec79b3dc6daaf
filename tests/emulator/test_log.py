"""The traffic log."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from emulator.raw_client import read_frame
from rebyte_async.emulator import Emulator, Status, hold, text

if TYPE_CHECKING:
    from emulator.raw_client import RawClient


async def test_every_request_is_a_record(emulator: Emulator, http: RawClient) -> None:
    """The record of a request has the request and its response."""
    before = datetime.now(UTC)
    fault = Status(418)
    emulator.faults.add(fault)

    await http.call("POST", "/tasks?a=1", json={"prompt": "x"})

    (record,) = emulator.log
    assert (record.number, record.origin, record.method, record.path) == (1, "api", "POST", "/tasks")
    assert before <= record.time <= datetime.now(UTC)
    assert (dict(record.query), record.headers["content-type"]) == ({"a": "1"}, "application/json")
    assert (record.key, record.json(), record.body_size) == (emulator.api_key, {"prompt": "x"}, len(record.body))
    assert (record.status, record.ended, record.faults) == (418, True, (fault,))


async def test_the_records_can_be_selected(emulator: Emulator, http: RawClient) -> None:
    """The method and the path select, as for faults."""
    task_id = await http.create()
    await http.task(task_id)
    await http.call("GET", "/tasks")

    assert len(emulator.log.select("GET")) == 2
    assert [record.number for record in emulator.log.select(path="/tasks/[^/]+")] == [2]
    assert emulator.log.select("GET", "/tasks") == (emulator.log[-1],)
    assert [record.number for record in emulator.log[1:]] == [2, 3]


async def test_a_stream_is_in_the_log_while_it_is_open(emulator: Emulator, http: RawClient) -> None:
    """The record of an open stream has a status and no end."""
    emulator.script(text("a"), hold())
    async with http.open(await http.create()) as response:
        await read_frame(response)

        assert (emulator.log[-1].status, emulator.log[-1].ended) == (200, False)


async def test_connections_are_numbered(emulator: Emulator) -> None:
    """Two requests on one connection have the same number and port, another connection has others."""
    headers = {"API_KEY": emulator.api_key}
    for _ in range(2):
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(2):
                async with session.get(emulator.url + "/tasks") as response:
                    await response.read()

    one, same, other, again = emulator.log
    assert one.connection == same.connection != other.connection == again.connection
    assert one.peer_port == same.peer_port
    assert {record.connection for record in emulator.log} == {1, 2}


async def test_the_log_keeps_a_limited_number_of_records() -> None:
    """The oldest records are dropped first."""
    async with Emulator(log_limit=10) as emulator, aiohttp.ClientSession() as session:
        for _ in range(25):
            async with session.get(emulator.url):
                pass

        assert len(emulator.log) <= 10
        assert emulator.log[-1].number == 25


async def test_a_long_body_is_logged_in_part(emulator: Emulator, http: RawClient) -> None:
    """The first MiB is kept, and the size of the whole."""
    await http.call("POST", "/tasks", data=io.BytesIO(b"y" * (2 << 20)))

    assert len(emulator.log[0].body) == 1 << 20
    assert emulator.log[0].body_size == 2 << 20


async def test_the_log_can_be_cleared(emulator: Emulator, http: RawClient) -> None:
    """A cleared log is empty, and its numbers continue."""
    await http.create()

    emulator.log.clear()
    await http.create()

    assert [record.number for record in emulator.log] == [2]
