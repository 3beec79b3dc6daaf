"""Ambiguous creates of different items with one prompt: no item gets another's task, and none is made again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem
from rebyte_async.batch.items import to_new_item
from rebyte_async.emulator import Drop, Emulator, Match, Rewrite, Status
from support.batches import creates, outcomes_of, rows, runner_of
from support.clients import SkippedTime
from support.journals import open_run_journal

CREATE = Match("POST", "/tasks")
PROMPT = "Do the same"


def _default_model(emulator: Emulator, model: str) -> None:
    """Have the service name its default model for tasks that asked for none."""

    def change(document: Any) -> Any:
        for task in document.get("data", [document]):
            task["model"] = task.get("model") or model
        return document

    emulator.faults.add(Rewrite(change), Match("GET", "/tasks(/[^/]+)?"), times=None)


@pytest.mark.parametrize("named", [{"executor": "claude"}, {"model": "m"}, {"executor": "claude", "model": "m"}])
async def test_what_is_the_default_tells_no_tasks_apart(
    emulator: Emulator, client: AsyncRebyte, named: dict[str, Any]
) -> None:
    """Two items, of which one names what the other gets anyway: both tasks stay as they are, and no third is made."""
    _default_model(emulator, "m")
    emulator.faults.add(Drop("after"), CREATE, times=2)
    found = await outcomes_of(runner_of(client), [BatchItem("a", PROMPT), BatchItem("b", PROMPT, **named)])
    assert {outcome.status for outcome in found.values()} == {"ambiguous"}
    assert all(task.id in (outcome.error or "") for outcome in found.values() for task in emulator.tasks)
    assert creates(emulator) == len(emulator.tasks) == 2


async def test_named_options_tell_tasks_apart(emulator: Emulator, client: AsyncRebyte) -> None:
    """Of two items that name different executors, the one whose task exists gets it, and the other is made again."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", nth=1), times=1)
    emulator.faults.add(Drop("before"), Match("POST", "/tasks", nth=2), times=1)
    given = [BatchItem(name, PROMPT, executor=name) for name in ("claude", "codex")]
    found = await outcomes_of(runner_of(client), given)
    made = {task.id: (await client.tasks.get(task.id)).executor for task in emulator.tasks}
    assert {key: made[outcome.task_id or ""] for key, outcome in found.items()} == {
        "claude": "claude",
        "codex": "codex",
    }
    assert len(emulator.tasks) == 2


async def test_named_options_tell_nothing_where_items_differ_in_more(emulator: Emulator, client: AsyncRebyte) -> None:
    """A service may ignore the executor, so it doesn't decide whose skills a task has."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", nth=1), times=1)
    emulator.faults.add(Drop("before"), Match("POST", "/tasks", nth=2), times=1)
    given = [BatchItem("a", PROMPT, executor="claude", skills=["pdf"]), BatchItem("b", PROMPT, executor="codex")]
    found = await outcomes_of(runner_of(client), given)
    assert {outcome.status for outcome in found.values()} == {"ambiguous"}
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize(("skills", "status"), [(["pdf"], "ambiguous"), ([], "completed")])
async def test_a_task_that_may_be_an_undecided_items_goes_to_its_equals_alone(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, skills: list[str], status: str
) -> None:
    """While an item's task couldn't be searched for, it isn't taken for that of another item with the prompt."""
    journal = tmp_path / "run.sqlite3"
    given = [BatchItem("a", PROMPT, skills=skills), BatchItem("b", PROMPT)]
    first_has_ended = asyncio.Event()

    async def supply() -> AsyncIterator[BatchItem]:
        yield given[0]
        await first_has_ended.wait()
        yield given[1]

    emulator.faults.add(Drop("after"), CREATE, times=1)
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    found = {}
    async with runner_of(client, journal=journal, tuning={"outage_timeout": 0.05}).run(supply()) as run:
        async for outcome in run:
            found[outcome.key] = outcome
            emulator.faults.clear()
            emulator.faults.add(Drop("before"), CREATE, times=1)
            first_has_ended.set()
    assert {key: outcome.status for key, outcome in found.items()} == {"a": "ambiguous", "b": status}
    assert len(emulator.tasks) == 1
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), given)
    assert {key: outcome.status for key, outcome in found.items()} == {"a": status, "b": status}
    assert len(emulator.tasks) == (2 if status == "completed" else 1)


async def test_a_task_that_could_not_be_searched_for_is_not_given_to_another_item(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """After a search that failed, the item keeps its claim: the next run finds its task, and the other's is made."""
    journal = tmp_path / "run.sqlite3"
    given = [BatchItem("a", PROMPT, executor="claude"), BatchItem("b", PROMPT, executor="codex")]
    emulator.faults.add(Drop("after"), CREATE, times=1)
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    runner = runner_of(client, journal=journal, tuning={"outage_timeout": 0.05})
    found = await outcomes_of(runner, given[:1])
    assert found["a"].status == "ambiguous"
    assert rows(journal, "state") == [("creating",)]
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), given)
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert found["a"].task_id == emulator.tasks[0].id
    assert len(emulator.tasks) == 2


@pytest.mark.parametrize(("age", "waits"), [(0.0, 10.0), (3.0, 7.0), (100.0, 5.0)])
async def test_the_creates_of_a_killed_run_are_given_time(
    emulator: Emulator, tmp_path: Path, age: float, waits: float
) -> None:
    """The service may still work on them: the second look is two settle times later, less if they are older."""
    journal, skipped = tmp_path / "run.sqlite3", SkippedTime()
    async with open_run_journal(journal, base_url=emulator.url) as opened:
        entries: Any = await opened.accept([to_new_item(BatchItem("a", PROMPT))])
        await opened.record_intent(entries[0], None, time.time() - age)
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url, _time=skipped.time) as client:
        found = await outcomes_of(runner_of(client, journal=journal, reconcile_settle=5), [BatchItem("a", PROMPT)])
    assert found["a"].status == "completed"
    assert max(skipped.slept) == pytest.approx(waits, abs=1.5)
