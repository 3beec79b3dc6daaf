"""Ambiguous creates beside other creates, earlier runs and other clocks: what must not slip through between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchOutcome, BatchRun
from rebyte_async.batch.evidence import Watermark
from rebyte_async.batch.items import to_new_item
from rebyte_async.emulator import Drop, Emulator, Match, Rewrite
from support.batches import creates, items, outcomes_of, rows, runner_of, texts
from support.journals import open_run_journal

CREATE = Match("POST", "/tasks")
CONTENT = Match("GET", "/tasks/[^/]+/content")


@frozen
class HeldBack:
    """The request is processed, and its response comes when `released` is set."""

    released: asyncio.Event
    processed: asyncio.Event

    async def around(self, exchange: Any, respond: Callable[[], Any]) -> Any:
        """Wait after the request was processed."""
        del exchange
        response = await respond()
        self.processed.set()
        await self.released.wait()
        return response


def _hold_back(emulator: Emulator, match: Match) -> HeldBack:
    fault = HeldBack(asyncio.Event(), asyncio.Event())
    emulator.faults.add(fault, match, times=1)
    return fault


async def _outcomes(run: BatchRun, ended: dict[str, asyncio.Event]) -> dict[str, BatchOutcome]:
    """Read a run to its end, and set the event of each item that has ended."""
    found: dict[str, BatchOutcome] = {}
    async with run:
        async for outcome in run:
            found[outcome.key] = outcome
            if outcome.key in ended:
                ended[outcome.key].set()
    return found


async def test_the_search_goes_back_to_the_earliest_of_the_creates(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Of two creates whose runs were killed one after the other, the older one's task is found too."""
    journal = tmp_path / "run.sqlite3"
    first, second = items(2)
    now = datetime.now(UTC).timestamp()
    async with open_run_journal(journal, base_url=emulator.url) as opened:
        entries: Any = await opened.accept([to_new_item(first)])
        await opened.record_intent(entries[0], None, now)
    old = await client.tasks.create("Do 0")
    assert old.created_at is not None
    async with open_run_journal(journal, base_url=emulator.url) as opened:
        entries = await opened.accept([to_new_item(second)])
        newest = old.created_at.timestamp() + 1
        watermark = await opened.record_watermark(Watermark(taken_at=now + 1, created_at=newest))
        await opened.record_intent(entries[0], None, watermark.taken_at)
    found = await outcomes_of(runner_of(client, journal=journal), [first, second])
    assert found["k0"].task_id == old.id
    assert texts(emulator) == ["Do 0", "Do 1"]


async def test_tasks_of_creates_in_flight_show_how_prompts_are_shown(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task whose create is in flight verifies prompts where no item has a task yet, so absence is certain."""
    held = _hold_back(emulator, CREATE)

    async def supply() -> AsyncIterator[BatchItem]:
        first, second = items(2)
        yield first
        await held.processed.wait()
        await client.tasks.create("A task of another program")
        emulator.faults.add(Drop("before"), CREATE, times=1)
        yield second

    found = await _outcomes(runner_of(client).run(supply()), {"k1": held.released})
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert texts(emulator) == ["A task of another program", "Do 0", "Do 1"]


async def test_a_task_that_another_item_has_is_not_taken_from_a_response(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Where the response to a create names another item's task, the item ends `ambiguous`, and is not made again."""

    def rename(document: Any) -> Any:
        return document | {"id": emulator.tasks[0].id}

    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Rewrite(rename), Match("POST", "/tasks", nth=2), times=1)
    found = await outcomes_of(runner_of(client, concurrency=1, journal=journal), items(3))
    assert [found[f"k{number}"].status for number in range(3)] == ["completed", "ambiguous", "completed"]
    taken = emulator.tasks[0].id
    assert f"the service returned the task {taken}, which another item has" in (found["k1"].error or "")
    assert (found["k0"].task_id, found["k1"].task_id) == (taken, None)
    assert await outcomes_of(runner_of(client, journal=journal), items(3)) == found
    assert creates(emulator) == 3


async def test_a_task_that_another_item_got_during_the_search_is_not_given_to_two(
    emulator: Emulator, client: AsyncRebyte
) -> None:
    """Where a response names a task just as the search has found it for another item, one item alone has it."""
    stolen = list[str]()

    def rename(document: Any) -> Any:
        stolen.append(next(task.id for task in emulator.tasks if task.prompts[0] == "Do 2"))
        return document | {"id": stolen[0]}

    sampled, held = asyncio.Event(), HeldBack(asyncio.Event(), asyncio.Event())

    async def supply() -> AsyncIterator[BatchItem]:
        first, second, third = items(3)
        yield first
        await sampled.wait()
        emulator.faults.add(Rewrite(rename), CREATE, times=1)
        emulator.faults.add(held, CREATE, times=1)
        yield second
        await held.processed.wait()
        await client.tasks.create("A task of another program")
        sample = _hold_back(emulator, Match("GET", f"/tasks/{emulator.tasks[0].id}/content"))
        emulator.faults.add(Drop("after"), CREATE, times=1)
        yield third
        await sample.processed.wait()  # the search has found the third item's task, and looks at one last thing
        held.released.set()
        await second_ended.wait()
        sample.released.set()

    second_ended = asyncio.Event()
    found = await _outcomes(runner_of(client).run(supply()), {"k0": sampled, "k1": second_ended})
    assert [found[f"k{number}"].status for number in range(3)] == ["completed", "completed", "ambiguous"]
    assert found["k1"].task_id == stolen[0]
    assert f"the task {stolen[0]} belongs to another item" in (found["k2"].error or "")


async def test_a_create_that_waited_for_its_turn_looks_at_the_lock_again(
    emulator: Emulator, client: AsyncRebyte
) -> None:
    """A create that waits while one with its prompt becomes ambiguous is sent after the search for that one's task."""
    emulator.faults.add(Drop("after"), CREATE, times=1)
    runner = runner_of(client, concurrency=2, tuning={"max_parallel_creates": 1})
    found = await outcomes_of(runner, items(2, prompt="Do the same"))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    posts = [record.number for record in emulator.log.select("POST", "/tasks")]
    listings = [record.number for record in emulator.log.select("GET", "/tasks") if record.query["limit"] == "100"]
    assert len(posts) == len(listings) == 2
    assert posts[0] < listings[0] < listings[1] < posts[1]


async def test_an_intent_is_after_those_of_earlier_runs(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Where the clock is a second behind that of an earlier run, the search still begins at this run's first create."""
    journal = tmp_path / "run.sqlite3"
    now = datetime.now(UTC)
    async with open_run_journal(journal, base_url=emulator.url) as opened:
        entries: Any = await opened.accept([to_new_item(BatchItem("early", "Early"))])
        await opened.record_intent(entries[0], None, now.timestamp() + 1.5)
        await opened.record_outcome(entries[0], "error", error="refused", now=now.timestamp())
    older, _ = [await client.tasks.create(f"Old {number}") for number in range(2)]

    def make_older(listing: Any) -> Any:
        for task in listing["data"]:
            if task["id"] == older.id:
                task["createdAt"] = (now - timedelta(minutes=3)).isoformat().replace("+00:00", "Z")
        return listing

    emulator.faults.add(Rewrite(make_older), Match("GET", "/tasks"), times=None)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, journal=journal), [BatchItem("late", "Late")])
    assert found["late"].status == "completed"
    intents = dict(rows(journal, "key, intent_at"))
    assert intents["late"] > intents["early"]
    assert emulator.log.select("GET", f"/tasks/{older.id}/content") == ()
