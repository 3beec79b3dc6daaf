"""Waiting for many tasks: by streams up to a limit, by spaced reads beyond it, through outages."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async.emulator import Drop, Emulator, HtmlPage, Match, Rewrite, Status, error, fail, hold, succeed
from rebyte_async.emulator import text as says
from support.batches import creates, items, outcomes_of, rows, runner_of
from support.clients import SkippedTime

STREAMS = Match("GET", "/tasks/[^/]+/events")


async def test_streams_are_limited_and_other_tasks_are_read(emulator: Emulator, client: AsyncRebyte) -> None:
    """A hundred open tasks have ten streams, and all end."""
    emulator.script(says("a"), hold(), says("b"), times=None)
    run = runner_of(client, concurrency=100, max_streams=10).run(items(100))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=100)
        while run.progress.running < 100 or client.stats().open_streams < 10:
            await asyncio.sleep(0.01)
        assert client.stats().open_streams == 10
        emulator.release()
        found = [await reading] + [outcome async for outcome in run]
    assert Counter((outcome.status, outcome.final_result) for outcome in found) == {("completed", "b"): 100}


async def test_a_stream_slot_is_handed_on(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task that waits for a stream gets one when another task ends, long before its next read."""
    emulator.script(says("a"), hold(), times=None)
    tuning = {"first_poll_interval": 600.0, "longest_poll_interval": 600.0}
    run = runner_of(client, concurrency=40, max_streams=3, tuning=tuning).run(items(40))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=40)
        emulator.release()
        found = [await reading] + [outcome async for outcome in run]
    assert Counter(outcome.status for outcome in found) == {"completed": 40}
    assert emulator.log.select("GET", "/tasks/[^/]+") == ()


async def test_thousands_of_open_tasks_take_few_sockets(emulator: Emulator, client: AsyncRebyte) -> None:
    """A thousand open tasks take no more connections than there are streams and calls."""
    emulator.script(says("a"), hold(), says("b"), times=None)
    tuning = {"first_poll_interval": 1.0, "longest_poll_interval": 1.0, "polls_per_second": 1000.0}
    run = runner_of(client, concurrency=1000, max_streams=20, tuning=tuning).run(items(1000))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=1000)
        assert client.stats().open_streams <= 20
        emulator.release()
        found = [await reading] + [outcome async for outcome in run]
    assert Counter(outcome.status for outcome in found) == {"completed": 1000}
    assert len({record.connection for record in emulator.log.select("GET", "/tasks/[^/]+")}) <= 100


async def test_without_streams_the_outcomes_are_the_same(emulator: Emulator, client: AsyncRebyte) -> None:
    """Final results and errors come from reads, and from the stream of a failed task."""
    emulator.script(says("x"), succeed("good"), prompt="0", times=None)
    emulator.script(error("the disk  is\nfull"), fail("sorry"), prompt="1", times=None)
    found = await outcomes_of(runner_of(client, max_streams=0), items(2))
    ends = {key: (outcome.status, outcome.final_result, outcome.error) for key, outcome in found.items()}
    assert ends == {"k0": ("completed", "good", None), "k1": ("failed", "sorry", "the disk is full")}


async def test_a_result_that_the_task_lacks_is_read_from_its_stream(emulator: Emulator, client: AsyncRebyte) -> None:
    """Not every deployment puts the final result into the task."""
    emulator.script(says("x"), succeed("good"), times=None)

    def without(task: Any) -> Any:
        return {name: value for name, value in task.items() if name != "finalResult"}

    emulator.faults.add(Rewrite(without), Match("GET", "/tasks/[^/]+"), times=None)
    found = await outcomes_of(runner_of(client, max_streams=0), items(1))
    assert (found["k0"].status, found["k0"].final_result) == ("completed", "good")


async def test_tasks_are_read_where_streams_fail(emulator: Emulator, client: AsyncRebyte) -> None:
    """A refused or broken stream is not the end of its task."""
    emulator.faults.add(Status(403, code="odd"), STREAMS, times=3)
    emulator.faults.add(HtmlPage(200), STREAMS, times=None)
    emulator.script(says("x"), succeed("good"), times=None)
    found = await outcomes_of(runner_of(client), items(5))
    assert {(outcome.status, outcome.final_result) for outcome in found.values()} == {("completed", "good")}


async def test_transient_failures_end_no_wait(emulator: Emulator, client: AsyncRebyte) -> None:
    """A wait survives pages of a gateway, dropped connections and 429."""
    emulator.faults.add(Drop("after"), STREAMS, times=None)
    emulator.faults.add(HtmlPage(503), Match("GET", "/tasks/[^/]+", probability=0.4), times=None)
    emulator.faults.add(Status(429, headers={"Retry-After": "0"}), Match("GET", probability=0.2), times=None)
    found = await outcomes_of(runner_of(client), items(8))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 8


async def test_a_deleted_task_ends_its_item(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The outcome names a task that stays unknown, and the next run doesn't wait for it."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), times=None)
    run = runner_of(client, journal=journal, max_streams=0).run(items(1))
    reading = asyncio.ensure_future(anext(run))
    await emulator.reached()
    (task,) = emulator.tasks
    await client.tasks.delete(task.id)
    outcome = await reading
    assert [one async for one in run] == []
    assert outcome.status == "error"
    assert (outcome.error or "").startswith("NotFoundError: ")
    assert task.id in (outcome.error or "")
    assert rows(journal, "key, state, status") == [("k0", "ended", "error")]


async def test_a_task_that_is_not_visible_yet_is_waited_for(emulator: Emulator, client: AsyncRebyte) -> None:
    """A 404 soon after the create ends no wait."""
    emulator.faults.add(Status(404), Match("GET", "/tasks/[^/]+(/events)?", per_path=True), times=2)
    found = await outcomes_of(runner_of(client, max_streams=0, tuning={"not_found_grace": 2.0}), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}


async def test_a_refused_key_ends_the_waits(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Every item that waits gets the error, and none is recorded as ended."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(401), Match("GET", "/tasks/.*"), times=None)
    seen: list[str] = []
    try:
        async for outcome in runner_of(client, journal=journal).run(items(3)):
            assert (outcome.status, outcome.error is None) == ("error", False)
            seen.append(outcome.key)
    except errors.BatchError as caught:
        assert "InvalidAPIKeyError" in str(caught)  # noqa: PT017 - the outcomes before it are checked as well
    assert seen
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 3


@pytest.mark.parametrize("max_streams", [0, 5])
async def test_a_status_that_is_unknown_and_stays_ends_an_item(
    emulator: Emulator, tmp_path: Path, max_streams: int
) -> None:
    """The outcome names the status, and the item stays open for another run, which may see another end."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("x"), hold(), times=None)
    emulator.faults.add(Status(403, code="odd"), STREAMS, times=None)
    emulator.faults.add(Rewrite(lambda task: {**task, "status": "expired"}), Match("GET", "/tasks/[^/]+"), times=None)
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url, _time=SkippedTime().time) as impatient:
        found = await outcomes_of(runner_of(impatient, journal=journal, max_streams=max_streams), items(1))
    assert (found["k0"].status, "'expired'" in (found["k0"].error or "")) == ("error", True)
    assert rows(journal, "key, state, status") == [("k0", "running", None)]
