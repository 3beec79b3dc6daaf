"""Waiting for many tasks: streams up to a bound, spaced reads beyond it, and trouble waited out."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from rebyte_async import AsyncRebyte
from rebyte_async._clock import Time
from rebyte_async.batch.settings import Tuning
from rebyte_async.batch.watcher import TaskWatcher
from rebyte_async.emulator import Drop, Emulator, HtmlPage, Match, Rewrite, Status, error, fail, hold, succeed
from rebyte_async.emulator import text as says
from support.batches import creates, items, outcomes_of, rows, runner_of

STREAMS = Match("GET", "/tasks/[^/]+/events")


async def test_streams_are_bounded_and_the_rest_is_read(emulator: Emulator, client: AsyncRebyte) -> None:
    """Ten streams for a hundred open tasks; all end, also those without one."""
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


async def test_a_place_for_a_stream_passes_on(emulator: Emulator, client: AsyncRebyte) -> None:
    """Tasks that are read for want of a stream get one as others end, long before their next read."""
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
    """What waits for 1,000 tasks has no more connections open than it has streams and calls."""
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


async def test_without_streams_the_ends_are_the_same(emulator: Emulator, client: AsyncRebyte) -> None:
    """Answers and errors come from the reads, and from one look at the stream of what failed."""
    emulator.script(says("x"), succeed("good"), prompt="0", times=None)
    emulator.script(error("the disk  is\nfull"), fail("sorry"), prompt="1", times=None)
    found = await outcomes_of(runner_of(client, max_streams=0), items(2))
    told = {key: (outcome.status, outcome.final_result, outcome.error) for key, outcome in found.items()}
    assert told == {"k0": ("completed", "good", None), "k1": ("failed", "sorry", "the disk is full")}


async def test_an_answer_that_the_task_does_not_have_is_read_from_its_stream(
    emulator: Emulator, client: AsyncRebyte
) -> None:
    """Not every deployment puts the answer into the task."""
    emulator.script(says("x"), succeed("good"), times=None)

    def without(task: Any) -> Any:
        return {name: value for name, value in task.items() if name != "finalResult"}

    emulator.faults.add(Rewrite(without), Match("GET", "/tasks/[^/]+"), times=None)
    found = await outcomes_of(runner_of(client, max_streams=0), items(1))
    assert (found["k0"].status, found["k0"].final_result) == ("completed", "good")


async def test_where_streams_can_not_be_had_reads_tell(emulator: Emulator, client: AsyncRebyte) -> None:
    """A refused or broken stream is no end."""
    emulator.faults.add(Status(403, code="odd"), STREAMS, times=3)
    emulator.faults.add(HtmlPage(200), STREAMS, times=None)
    emulator.script(says("x"), succeed("good"), times=None)
    found = await outcomes_of(runner_of(client), items(5))
    assert {(outcome.status, outcome.final_result) for outcome in found.values()} == {("completed", "good")}


async def test_passing_trouble_is_waited_out(emulator: Emulator, client: AsyncRebyte) -> None:
    """Neither pages of a gateway nor dropped connections nor 429 end a wait."""
    emulator.faults.add(Drop("after"), STREAMS, times=None)
    emulator.faults.add(HtmlPage(503), Match("GET", "/tasks/[^/]+", probability=0.4), times=None)
    emulator.faults.add(Status(429, headers={"Retry-After": "0"}), Match("GET", probability=0.2), times=None)
    found = await outcomes_of(runner_of(client), items(8))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 8


async def test_a_deleted_task_is_an_end(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """A task that stays unknown is told by its name, and not waited for again."""
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


async def test_a_task_that_is_not_there_yet_is_waited_for(emulator: Emulator, client: AsyncRebyte) -> None:
    """A read right after the create may come too early."""
    emulator.faults.add(Status(404), Match("GET", "/tasks/[^/]+(/events)?", per_path=True), times=2)
    found = await outcomes_of(runner_of(client, max_streams=0, tuning={"not_found_grace": 2.0}), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}


async def test_a_refused_key_ends_the_waiting(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """It is told of every item that waits, and none of them is taken to have ended."""
    from rebyte_async import errors

    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(401), Match("GET", "/tasks/.*"), times=None)
    seen: list[str] = []
    try:
        async for outcome in runner_of(client, journal=journal).run(items(3)):
            assert (outcome.status, outcome.error is None) == ("error", False)
            seen.append(outcome.key)
    except errors.BatchError as caught:
        assert "InvalidAPIKeyError" in str(caught)  # noqa: PT017 - the outcomes before it are looked at too
    assert seen
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 3


async def test_a_hint_makes_for_an_early_read(emulator: Emulator, client: AsyncRebyte) -> None:
    """Whoever knows that a task may have ended can say so, and the next read comes at once."""
    emulator.script(says("a"), hold(), times=None)
    task = await client.tasks.create("Do it")
    watcher = TaskWatcher(tasks=client.tasks, time=Time(), tuning=Tuning(first_poll_interval=30.0), max_streams=0)
    waiting = asyncio.ensure_future(watcher.wait_for_end(task.id))
    await emulator.reached()
    emulator.release()
    while (await client.tasks.get(task.id)).status == "running":
        await asyncio.sleep(0.01)
    watcher.wake("another")
    watcher.wake(task.id)
    assert (await waiting).status == "completed"
