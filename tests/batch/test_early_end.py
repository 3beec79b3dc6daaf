"""Ending a run early: nothing new starts, the journal stays correct, and remote tasks continue unless asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from rebyte_async._clock import Time
from rebyte_async.batch import BatchItem, BatchRun, Journal
from rebyte_async.emulator import Delay, Drop, Emulator, Match, Rewrite, Status, hold
from rebyte_async.emulator import text as says
from support.batches import creates, items, outcomes_of, rows, runner_of
from support.clients import KEY, client_of


async def _start_reading(emulator: Emulator, run: BatchRun, count: int) -> asyncio.Task[object]:
    """A task that reads a run, once `count` of the run's tasks are open."""

    async def read() -> object:
        return [outcome async for outcome in run]

    reader = asyncio.get_running_loop().create_task(read())
    await emulator.reached(count=count)
    return reader


def _has_no_batch_tasks() -> bool:
    """Whether no asyncio task of a batch exists."""
    return not [task for task in asyncio.all_tasks() if "batch" in task.get_name()]


@pytest.mark.parametrize("way", ["cancel", "timeout", "aclose", "leave"])
@pytest.mark.parametrize("cancel_remote", [False, True])
async def test_ending_a_run_early_keeps_the_journal_true(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, way: str, *, cancel_remote: bool
) -> None:
    """However a run is ended, the next one continues with its tasks, or with their cancellation."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), says("b"), times=None)
    run = runner_of(client, journal=journal, concurrency=3, cancel_remote=cancel_remote).run(items(8))
    reader = await _start_reading(emulator, run, 3)
    await asyncio.sleep(0.05)
    if way == "cancel":
        reader.cancel()
    elif way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await reader
    elif way == "aclose":
        await run.aclose()
    else:
        async with run:
            pass
    await asyncio.wait([reader])
    assert reader.cancelled() or isinstance(reader.exception(), errors.BatchError) or way in {"aclose", "leave"}
    if not reader.cancelled():
        reader.exception()
    assert _has_no_batch_tasks()
    assert client.stats().open_streams == 0
    async with Journal(journal):
        pass  # it is free again
    expected = {"canceled"} if cancel_remote else {"running"}
    assert {task.status for task in emulator.tasks} == expected
    assert creates(emulator) == 3


async def test_a_canceled_remote_task_is_recorded(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The next run gives the outcome `canceled`."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), prompt="Do [012]", times=None)
    run = runner_of(client, journal=journal, concurrency=3, cancel_remote=True).run(items(5))
    reader = await _start_reading(emulator, run, 3)
    reader.cancel()
    await asyncio.wait([reader])
    found = await outcomes_of(runner_of(client, journal=journal), items(5))
    assert Counter(outcome.status for outcome in found.values()) == {"canceled": 3, "completed": 2}


async def test_a_cancelled_run_does_not_look_complete(emulator: Emulator, client: AsyncRebyte) -> None:
    """Reading on after a cancellation raises an error once."""
    emulator.script(says("a"), hold(), times=None)
    run = runner_of(client).run(items(2))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(run)
    with pytest.raises(errors.BatchError, match="the run was ended before all of its items had outcomes"):
        await anext(run)
    assert [outcome async for outcome in run] == []
    with pytest.raises(errors.BatchError, match="the run is over"):
        async with run:
            pass


async def test_a_create_in_flight_is_waited_for(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """If the response to a create comes within the drain timeout, its task is recorded."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Delay(0.3, "after"), Match("POST", "/tasks"), times=None)
    run = runner_of(client, journal=journal).run(items(2))
    reading = asyncio.ensure_future(anext(run))
    while len(emulator.tasks) < 2:
        await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    assert {row[1:] for row in rows(journal, "key, state, task_id IS NOT NULL")} == {("running", 1)}


async def test_a_create_in_flight_is_given_up_after_the_drain_timeout(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The create is ambiguous then, and the next run finds its task."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Delay(5, "after"), Match("POST", "/tasks"), times=2)
    run = runner_of(client, journal=journal, tuning={"create_drain_timeout": 0.05}).run(items(2))
    reading = asyncio.ensure_future(anext(run))
    while len(emulator.tasks) < 2:
        await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    assert {row[1:] for row in rows(journal, "key, state, task_id IS NOT NULL")} == {("creating", 0)}
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 2


async def test_canceling_remote_tasks_has_a_time_limit(emulator: Emulator, client: AsyncRebyte) -> None:
    """A service that doesn't respond delays the end only so long, and failures are only logged."""
    emulator.script(says("a"), hold(), times=None)
    emulator.faults.add(Delay(30), Match("POST", "/tasks/[^/]+/cancel"), times=1)
    emulator.faults.add(Status(409), Match("POST", "/tasks/[^/]+/cancel"), times=None)
    run = runner_of(client, cancel_remote=True, tuning={"cancel_timeout": 0.2}).run(items(3))
    reader = await _start_reading(emulator, run, 3)
    reader.cancel()
    await asyncio.wait([reader], timeout=5)
    assert reader.cancelled()
    assert _has_no_batch_tasks()


async def test_a_lost_cancel_is_repeated(emulator: Emulator, client: AsyncRebyte) -> None:
    """A cancel that overtakes its task's submit has no effect, so it is sent again."""
    emulator.script(says("a"), hold(), times=None)
    emulator.faults.add(Drop("before"), Match("POST", "/tasks/[^/]+/cancel"), times=1)
    run = runner_of(client, cancel_remote=True).run(items(2))
    reader = await _start_reading(emulator, run, 2)
    reader.cancel()
    await asyncio.wait([reader])
    assert {task.status for task in emulator.tasks} == {"canceled"}


async def test_a_run_that_is_dropped_half_read_warns_and_stops(emulator: Emulator, client: AsyncRebyte) -> None:
    """A dropped run starts nothing more, and a ResourceWarning says so."""

    async def read_one() -> None:
        async for _ in runner_of(client, concurrency=2).run(items(200)):
            break

    with pytest.warns(ResourceWarning, match="a batch run was dropped before its end"):
        await read_one()
    while not _has_no_batch_tasks():
        await asyncio.sleep(0.01)
    made = creates(emulator)
    assert made < 100
    await asyncio.sleep(0.1)
    assert creates(emulator) == made


async def test_leaving_the_context_of_a_run_leaks_nothing(emulator: Emulator, client: AsyncRebyte) -> None:
    """Breaking out of the loop inside the context ends the run without a warning."""
    async with runner_of(client, concurrency=2).run(items(200)) as run:
        async for _ in run:
            break
    assert _has_no_batch_tasks()
    assert [outcome async for outcome in run] == []
    assert creates(emulator) < 100


@pytest.mark.parametrize("end", ["raises", "hangs"])
async def test_an_iterable_that_cannot_be_closed_keeps_nothing_open(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, end: str
) -> None:
    """An application's generator that hangs or raises when closed doesn't keep the journal open."""

    async def supply() -> AsyncIterator[BatchItem]:
        try:
            for item in items(1000):
                yield item
        finally:
            if end == "hangs":
                await asyncio.Event().wait()
            raise RuntimeError("not now")

    journal = tmp_path / "run.sqlite3"
    run = runner_of(client, journal=journal, concurrency=2, tuning={"create_drain_timeout": 0.05}).run(supply())
    async with run:
        await anext(run)
    async with Journal(journal):
        pass
    assert creates(emulator) < 300


async def test_a_closed_client_ends_the_run(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The error says that the client is closed, and no item is lost."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), prompt="Do [01]$", times=None)
    run = runner_of(client, journal=journal, concurrency=2).run(items(4))
    reading = asyncio.ensure_future(anext(run))
    await emulator.reached(count=2)
    while client.stats().open_streams < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    await client.aclose()
    emulator.release()
    outcome = await reading
    assert outcome.status == "error"
    with pytest.raises(errors.BatchError, match="the client is closed"):
        [one async for one in run]
    assert {state for _, state in rows(journal, "position, state")} <= {"accepted", "running"}


@pytest.mark.parametrize("asked", [{}, {"Retry-After": "1"}])
async def test_no_waiting_create_is_sent_after_the_end(
    emulator: Emulator, tmp_path: Path, asked: dict[str, str]
) -> None:
    """After the end of a run, no create is sent that waited for a retry or for a pause of the client."""
    journal = tmp_path / "run.sqlite3"
    emulator.add_key(KEY)
    slow = client_of(emulator.url, retry=RetryPolicy(base_delay=2, max_delay=2), _time=Time(rng=Random(1)))
    emulator.faults.add(Status(429, headers=asked), Match("POST", "/tasks", nth=3), times=1)
    run = runner_of(slow, journal=journal, concurrency=8, tuning={"create_drain_timeout": 3}).run(items(20))
    async with slow, run:
        while not [record for record in emulator.log.select("POST", "/tasks") if record.status == 429]:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        sent = creates(emulator)
    assert creates(emulator) == sent
    assert {state for _, state in rows(journal, "position, state")} <= {"accepted", "running", "ended"}


async def test_canceling_keeps_the_result_of_a_completed_task(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """A final result that only the stream has is read from the stream."""
    journal = tmp_path / "run.sqlite3"

    def without(task: Any) -> Any:
        return {**task, "finalResult": None}

    emulator.faults.add(Rewrite(without), Match("GET", "/tasks/[^/]+"), times=None)
    emulator.faults.add(Delay(0.5), Match("GET", "/tasks/[^/]+/events"), times=None)
    run = runner_of(client, journal=journal, cancel_remote=True).run(items(2))
    async with run:
        while [task.status for task in emulator.tasks] != ["completed"] * 2:
            await asyncio.sleep(0.01)
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert all(outcome.status == "completed" and outcome.final_result for outcome in found.values())
