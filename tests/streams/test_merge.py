"""Several streams as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import anyio
import pytest

from rebyte_async import AsyncRebyte, TaskEventStream, errors, merge
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, chunk, http_response, stream_head
from support.task_server import done, text


async def handler(request: RawRequest) -> Any:
    """Serve n events for task n; refuse the bad ones; never end the busy ones."""
    name = request.path.split("/")[3]

    async def pieces() -> Any:
        yield stream_head()
        count = 10**9 if name.startswith("busy") else int(name)
        for seq in range(1, count + 1):
            yield chunk(text(seq, "x" * 1000, prompt=name))
        yield chunk(done("succeeded", count, "x"))
        yield chunk(b"")

    return http_response(403) if name.startswith("bad") else pieces()


def streams(client: AsyncRebyte, *names: str) -> list[TaskEventStream]:
    """Open a stream for each task."""
    return [client.tasks.events(name) for name in names]


async def test_every_event_of_every_stream_comes_with_its_task() -> None:
    """All streams are read to their ends, each in its own order."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        parts = streams(client, "3", "1", "20")
        got = [(task_id, event.seq) async for task_id, event in merge(*parts)]
        assert all(part.done for part in parts)
    assert Counter(task_id for task_id, _ in got) == {"3": 3, "1": 1, "20": 20}
    assert [seq for task_id, seq in got if task_id == "20"] == list(range(1, 21))


async def test_a_busy_stream_does_not_starve_the_others() -> None:
    """The streams alternate, and only a slow consumer slows them down."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        parts = streams(client, "busy1", "busy2", "5")
        got: Counter[str] = Counter()
        async with contextlib.aclosing(merge(*parts)) as merged:
            async for task_id, _ in merged:
                got[task_id] += 1
                if got["5"] == 5:
                    break
                await anyio.sleep(0)
        assert got["busy1"] <= 60
        assert got["busy2"] <= 60
        assert client.stats().bytes_received < 4_000_000
        assert client.stats().open_streams == 0


async def test_failures_come_after_the_others_and_name_their_tasks() -> None:
    """One group holds every failure; nothing of the good streams is lost."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        got: list[str] = []
        with pytest.raises(ExceptionGroup) as caught:
            async for task_id, _ in merge(*streams(client, "bad1", "4", "bad2")):
                got.append(task_id)
    assert got == ["4"] * 4
    failures = caught.value.exceptions
    assert sorted(str(getattr(failure, "task_id", None)) for failure in failures) == ["bad1", "bad2"]
    assert all(isinstance(failure, errors.PermissionDeniedError) for failure in failures)
    assert sorted(note for failure in failures for note in failure.__notes__) == [
        "from the stream of task bad1",
        "from the stream of task bad2",
    ]


async def test_cancelling_closes_everything() -> None:
    """No reader and no connection is left over."""
    async with RawServer(handler) as server, client_of(server.url) as client:
        before = asyncio.all_tasks()

        async def consume() -> None:
            async for _ in merge(*streams(client, "busy1", "busy2")):
                await anyio.sleep(0.001)

        with anyio.move_on_after(0.1):
            await consume()
        with anyio.fail_after(1):
            while client.stats().open_streams:
                await anyio.sleep(0)
        assert {task for task in asyncio.all_tasks() - before if "RawServer" not in repr(task)} == set()


async def test_merging_no_streams_yields_nothing() -> None:
    """A merge of no streams ends at once, without an event."""
    assert [item async for item in merge()] == []
