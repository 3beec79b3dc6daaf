"""Running a batch again: stored outcomes are handed out, running tasks are followed, other items start."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchOutcome, parse_jsonl, read_journal
from rebyte_async.emulator import Drop, Emulator, Match, Rewrite, Status, hold
from rebyte_async.emulator import text as says
from rebyte_async.errors import BatchError
from support.batches import creates, items, outcomes_of, rows, runner_of


async def test_a_finished_batch_gives_its_outcomes_again(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The second run sends no request, and gives the same outcomes."""
    journal = tmp_path / "run.sqlite3"
    first = await outcomes_of(runner_of(client, journal=journal), items(20))
    emulator.log.clear()
    again = await outcomes_of(runner_of(client, journal=journal), items(20), ordered=True)
    assert again == first
    assert list(again) == [f"k{number}" for number in range(20)]
    assert len(emulator.log) == 0
    more = await outcomes_of(runner_of(client, journal=journal), items(25))
    assert {key: more[key] for key in first} == first
    assert creates(emulator) == 5


async def test_metadata_comes_back_with_the_outcome(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Outcomes have their items' metadata, in every run; new metadata makes no task, and the journal takes it."""
    journal = tmp_path / "run.sqlite3"
    given = [evolve(item, metadata={"row": number}) for number, item in enumerate(items(3))]
    first = await outcomes_of(runner_of(client, journal=journal), given)
    assert {key: outcome.metadata for key, outcome in first.items()} == {f"k{row}": {"row": row} for row in range(3)}
    assert all(outcome.workspace_id for outcome in first.values())
    assert await outcomes_of(runner_of(client, journal=journal), given) == first
    changed = [evolve(given[0], metadata={"row": "new"}), evolve(given[1], metadata={})]
    again = await outcomes_of(runner_of(client, journal=journal), changed)
    assert [outcome.metadata for outcome in again.values()] == [{"row": "new"}, {}]
    assert creates(emulator) == 3

    def read() -> list[BatchOutcome | None]:
        with read_journal(journal) as reader:
            return [item.outcome for item in reader.items()]

    assert await asyncio.to_thread(read) == [again["k0"], again["k1"], first["k2"]]


async def test_equal_items_may_differ_in_metadata(emulator: Emulator, client: AsyncRebyte) -> None:
    """Whatever its metadata is, an item may get any task of its prompt whose create was lost."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", probability=0.5), times=None)
    same = [evolve(item, metadata={"row": number}) for number, item in enumerate(items(10, prompt="Do the same"))]
    found = await outcomes_of(runner_of(client, tuning={"max_recreates": 10}), same)
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 10}
    assert {outcome.task_id for outcome in found.values()} == {task.id for task in emulator.tasks}


async def test_an_error_about_an_item_names_where_it_was_read(client: AsyncRebyte) -> None:
    """The line of an item is in errors that only the batch can find: a key that comes twice, and what isn't JSON."""
    twice = [b'{"key": "a", "prompt": "x"}', b"", b'{"key": "a", "prompt": "x"}']
    with pytest.raises(BatchError, match="rows, line 3: the key 'a' comes twice"):
        await outcomes_of(runner_of(client), parse_jsonl(twice, name="rows"))
    odd = BatchItem("a", "x", metadata={"x": object()}, origin="rows, line 7")
    with pytest.raises(BatchError, match="rows, line 7: the item 'a' can't be written as JSON"):
        await outcomes_of(runner_of(client), [odd])
    pinned = BatchItem("a", "x", workspace_id="w", origin="rows, line 8")
    with pytest.raises(BatchError, match="rows, line 8: the item 'a' has its own workspace_id"):
        await outcomes_of(runner_of(client, workspaces=1), [pinned])


async def test_running_tasks_are_followed_again(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Leaving a run keeps its tasks running, and the next run waits for them."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), says("b"), times=None)
    run = runner_of(client, journal=journal, concurrency=4).run(items(6))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=4)
        while run.progress.running < 4:
            await asyncio.sleep(0.01)
        reading.cancel()
    open_before = {task.id for task in emulator.tasks}
    assert Counter(state for _, state in rows(journal, "position, state"))["running"] == 4
    assert {task.status for task in emulator.tasks} == {"running"}
    second = runner_of(client, journal=journal, concurrency=4).run(items(6))
    async with second:
        reading = asyncio.ensure_future(anext(second))
        await asyncio.sleep(0.1)
        assert creates(emulator) == 4, "the open tasks of the last run count"
        emulator.release()
        found = [await reading] + [outcome async for outcome in second]
    assert {outcome.status for outcome in found} == {"completed"}
    assert open_before < {outcome.task_id for outcome in found}
    assert creates(emulator) == 6


async def test_open_tasks_of_other_items_delay_nothing(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """A run ends with its own items, and records what it sees of other items' tasks."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), prompt="Do 0", times=None)
    run = runner_of(client, journal=journal).run(items(2))
    async with run:
        assert (await anext(run)).key == "k1"
    found = await outcomes_of(runner_of(client, journal=journal, concurrency=2), items(4)[1:])
    assert found.keys() == {"k1", "k2", "k3"}
    assert rows(journal, "key, state")[0] == ("k0", "running")


async def test_an_item_that_could_not_be_followed_is_followed_again(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """A wait that was given up is an outcome of the run, but isn't recorded: the next run gives the task's own end."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(503), Match("GET", "/tasks/.*"), times=None)
    found = await outcomes_of(runner_of(client, journal=journal, tuning={"outage_timeout": 0.1}), items(2))
    assert {outcome.status for outcome in found.values()} == {"error"}
    assert all((outcome.error or "").startswith("InternalServerError: ") for outcome in found.values())
    assert all(outcome.task_id for outcome in found.values())
    emulator.faults.clear()
    again = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert {outcome.status for outcome in again.values()} == {"completed"}
    assert {o.task_id for o in again.values()} == {o.task_id for o in found.values()}
    assert creates(emulator) == 2


async def test_items_may_be_added_and_reordered(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Items are identified by their keys, not by their places."""
    journal = tmp_path / "run.sqlite3"
    first = await outcomes_of(runner_of(client, journal=journal), items(5))
    turned = [*reversed(items(5)), BatchItem("new", "Do more")]
    second = await outcomes_of(runner_of(client, journal=journal), turned)
    assert {key: second[key] for key in first} == first
    assert creates(emulator) == 6


async def leave_a_task_that_ends(emulator: Emulator, client: AsyncRebyte, journal: Path) -> None:
    """Break a run off while its task runs, and let the task end."""
    emulator.script(says("a"), hold(), says("b"), times=None)
    async with runner_of(client, journal=journal).run(items(1)) as run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=1)
        while not run.progress.running:
            await asyncio.sleep(0.01)
        reading.cancel()
    emulator.release()


@pytest.mark.parametrize("max_streams", [0, 8])
async def test_a_task_that_ended_between_two_runs_has_its_own_time(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, max_streams: int
) -> None:
    """The time of its end is that of the task, not that of the run which found it ended."""
    journal = tmp_path / "run.sqlite3"
    await leave_a_task_that_ends(emulator, client, journal)
    moment = Rewrite(lambda task: {**task, "completedAt": task["createdAt"]})
    emulator.faults.add(moment, Match("GET", "/tasks/[^/]+"), times=None)
    outcome = (await outcomes_of(runner_of(client, journal=journal, max_streams=max_streams), items(1)))["k0"]
    assert outcome.status == "completed"
    assert outcome.ended_at == outcome.started_at is not None


async def test_an_end_whose_time_cannot_be_read_is_that_of_its_notice(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """A task that its stream shows as ended needs no read: the outcome is the same without it."""
    journal = tmp_path / "run.sqlite3"
    await leave_a_task_that_ends(emulator, client, journal)
    emulator.faults.add(Status(403, code="odd"), Match("GET", "/tasks/[^/]+"), times=None)
    outcome = (await outcomes_of(runner_of(client, journal=journal), items(1)))["k0"]
    assert (outcome.status, outcome.ended_at is not None) == ("completed", True)
