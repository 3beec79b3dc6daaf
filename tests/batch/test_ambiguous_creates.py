"""Ambiguous creates: their tasks are searched for, given to one item each, and never made twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import frozen

from rebyte_async import AsyncRebyte, errors
from rebyte_async._clock import Time
from rebyte_async.batch import BatchItem, BatchOutcome, Journal
from rebyte_async.batch.items import to_new_item
from rebyte_async.emulator import Delay, Drop, Emulator, Match, Rewrite, Status, hold
from rebyte_async.emulator import text as says
from support.batches import creates, items, outcomes_of, rows, runner_of, texts
from support.clients import KEY, client_of, server_clock_of
from support.journals import open_run_journal

CREATE = Match("POST", "/tasks")
CONTENT = Match("GET", "/tasks/[^/]+/content")


@pytest.mark.parametrize("fault", [Drop("after"), Drop("before"), Status(500), Status(500, when="after")])
async def test_an_ambiguous_create_is_decided(emulator: Emulator, client: AsyncRebyte, fault: Any) -> None:
    """Whether or not the server processed an ambiguous create, its item has one task in the end."""
    emulator.faults.add(fault, Match("POST", "/tasks", nth=2), times=1)
    found = await outcomes_of(runner_of(client), items(5))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert texts(emulator) == [f"Do {number}" for number in range(5)]
    was_processed = fault in (Drop("after"), Status(500, when="after"))
    assert sorted(outcome.attempts for outcome in found.values()) == [1, 1, 1, 1, 1 if was_processed else 2]


async def test_equal_prompts_never_share_a_task(emulator: Emulator, client: AsyncRebyte) -> None:
    """When half of all creates with one prompt are ambiguous, each item still gets its own task."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", probability=0.3), times=None)
    emulator.faults.add(Status(500), Match("POST", "/tasks", probability=0.2), times=12)
    runner = runner_of(client, concurrency=10, tuning={"max_recreates": 10})
    found = await outcomes_of(runner, items(40, prompt="Do the same"))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 40}
    assert len(emulator.tasks) == 40
    assert {outcome.task_id for outcome in found.values()} == {task.id for task in emulator.tasks}


async def test_creates_wait_while_one_with_their_prompt_is_ambiguous(emulator: Emulator, client: AsyncRebyte) -> None:
    """Between the two listings for an ambiguous create, no create with the same prompt is sent."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"), times=1)
    given = [BatchItem("a0", "same"), *items(6), *(BatchItem(f"a{number}", "same") for number in range(1, 4))]
    found = await outcomes_of(runner_of(client, concurrency=4, reconcile_settle=0.4), given)
    assert {outcome.status for outcome in found.values()} == {"completed"}
    listings = [record.number for record in emulator.log.select("GET", "/tasks") if record.query["limit"] == "100"]
    assert len(listings) == 2
    same = [record.number for record in emulator.log.select("POST", "/tasks") if b'"same"' in record.body]
    assert len(same) == 4
    assert [number for number in same if listings[0] < number < listings[1]] == []


async def test_a_strangers_task_with_the_same_prompt_is_not_taken(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Where a stranger's task may be the item's, the item ends `ambiguous`, and its error names both tasks."""
    journal = tmp_path / "run.sqlite3"
    strange: list[str] = []

    async def given() -> AsyncIterator[BatchItem]:
        first, second = items(2)
        yield second
        while not emulator.tasks:
            await asyncio.sleep(0.01)
        strange.append((await client.tasks.create("Do 0")).id)
        emulator.faults.add(Drop("after"), CREATE, times=1)
        yield first

    found = await outcomes_of(runner_of(client, journal=journal), given())
    assert (found["k0"].status, found["k1"].status) == ("ambiguous", "completed")
    error = found["k0"].error or ""
    assert error.startswith("AmbiguousRequestError: POST ")
    assert "more than there are items" in error
    assert strange[0] in error
    assert found["k0"].task_id is None
    again = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert again == found
    assert creates(emulator) == 3


@pytest.mark.parametrize("status", [404, 403, 501])
async def test_unreadable_content_makes_the_outcome_ambiguous(
    emulator: Emulator, client: AsyncRebyte, status: int
) -> None:
    """An item whose task can't be recognised ends `ambiguous`, and its task is not made again."""
    emulator.faults.add(Status(status, code="odd"), CONTENT, times=None)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, tuning={"outage_timeout": 0.1}), items(1))
    assert found["k0"].status == "ambiguous"
    assert "can't be read" in (found["k0"].error or "")
    assert creates(emulator) == 1


async def test_content_that_comes_late_is_waited_for(emulator: Emulator, client: AsyncRebyte) -> None:
    """A gateway's failures, and a task whose content isn't visible yet, are waited out."""
    emulator.faults.add(Status(502), CONTENT, times=6)
    emulator.faults.add(Status(404), Match("GET", "/tasks/[^/]+/content", nth=7), times=1)
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=3)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client), items(1))
    assert found["k0"].status == "completed"
    assert creates(emulator) == 1


async def test_a_task_that_appears_late_is_found(emulator: Emulator, client: AsyncRebyte) -> None:
    """One listing isn't enough: the service may still be processing when the connection is lost."""

    @frozen
    class LateRecord:
        """The connection breaks while the service still processes the request."""

        async def around(self, exchange: Any, respond: Callable[[], Any]) -> Any:
            """Break the connection, and process the request afterwards."""
            await exchange.body.read()
            exchange.connection.abort()
            await asyncio.sleep(0.15)
            return await respond()

    emulator.faults.add(LateRecord(), CREATE, times=1)
    found = await outcomes_of(runner_of(client, reconcile_settle=0.3), items(1))
    assert found["k0"].status == "completed"
    assert len(emulator.tasks) == creates(emulator) == 1


async def test_changed_prompts_make_the_outcome_ambiguous(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Where a known task shows another prompt than was sent, a task that doesn't match may be the item's."""
    journal = tmp_path / "run.sqlite3"
    await outcomes_of(runner_of(client, journal=journal), items(1))

    def decorated(content: Any) -> Any:
        for prompt in content["prompts"]:
            prompt["userPrompt"] = f"[system] {prompt['userPrompt']}"
        return content

    emulator.faults.add(Rewrite(decorated), CONTENT, times=None)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert found["k1"].status == "ambiguous"
    assert "the service shows prompts otherwise than they were sent" in (found["k1"].error or "")
    assert creates(emulator) == 2


async def test_a_search_that_fails_decides_nothing(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The item's outcome is `ambiguous` in this run, but isn't recorded: the next run finds the task."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, journal=journal, tuning={"outage_timeout": 0.05}), items(1))
    assert found["k0"].status == "ambiguous"
    assert "the search for its task failed: InternalServerError" in (found["k0"].error or "")
    assert rows(journal, "key, state") == [("k0", "creating")]
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(1))
    assert found["k0"].status == "completed"
    assert creates(emulator) == 1


async def test_no_create_is_absent_while_listings_differ(emulator: Emulator, client: AsyncRebyte) -> None:
    """Where no two listings agreed, a create without a task is undecided."""
    emulator.faults.add(Drop("before"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, tuning={"max_listings": 1}), items(1))
    assert found["k0"].status == "ambiguous"
    assert "new tasks kept appearing" in (found["k0"].error or "")
    assert creates(emulator) == 1


async def test_report_searches_for_nothing(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """With `on_ambiguous="report"` an ambiguous create is an outcome at once."""
    emulator.faults.add(Drop("after"), CREATE, times=1)
    journal = tmp_path / "run.sqlite3"
    found = await outcomes_of(runner_of(client, on_ambiguous="report", journal=journal), items(2))
    assert sorted(outcome.status for outcome in found.values()) == ["ambiguous", "completed"]
    assert emulator.log.select("GET", "/tasks/[^/]+/content") == ()
    assert creates(emulator) == 2
    async with Journal(journal) as opened:
        assert await opened.reopen(["ambiguous"]) == 1
    found = await outcomes_of(runner_of(client, on_ambiguous="report", journal=journal), items(2))
    assert sorted(outcome.status for outcome in found.values()) == ["ambiguous", "completed"]
    async with Journal(journal) as opened:
        assert await opened.reopen(["ambiguous"]) == 1
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 2


async def test_a_create_that_is_lost_repeatedly_is_given_up(emulator: Emulator, client: AsyncRebyte) -> None:
    """An item's create is repeated three times in a run; then the item ends `ambiguous`."""
    emulator.faults.add(Status(500), CREATE, times=None)
    found = await outcomes_of(runner_of(client), items(1))
    assert (found["k0"].status, found["k0"].attempts) == ("ambiguous", 4)
    assert "the responses of 4 creates were lost" in (found["k0"].error or "")


async def test_undecided_creates_count_against_max_new_tasks(emulator: Emulator, client: AsyncRebyte) -> None:
    """A create that may have made a task isn't refunded, and one that certainly made none is."""
    emulator.faults.add(Status(500), Match("POST", "/tasks"), times=1)
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", nth=2), times=1)
    found = await outcomes_of(runner_of(client, max_new_tasks=2, concurrency=2), items(4))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 2, "skipped": 2}
    assert len(emulator.tasks) == 2


async def _record_intents(journal: Path, url: str, given: list[BatchItem], at: float) -> None:
    """Write a journal as a run leaves it that is killed while its creates are in flight."""
    async with open_run_journal(journal, base_url=url) as opened:
        entries: Any = await opened.accept([to_new_item(item) for item in given])
        for entry in entries:
            await opened.record_intent(entry, None, at)


async def test_a_run_first_decides_on_earlier_creates(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Of three equal items two had made a task before the kill, and the third makes the only new one."""
    journal = tmp_path / "run.sqlite3"
    now = datetime.now(UTC).timestamp()
    given = items(3, prompt="Do the same")
    await _record_intents(journal, emulator.url, given, now)
    old = {(await client.tasks.create("Do the same")).id for _ in range(2)}
    found: dict[str, BatchOutcome] = {}
    async with runner_of(client, journal=journal).run([*given, BatchItem("other", "Do another")]) as run:
        while not run.progress.searching:  # the search is seen before anything else
            assert not run.progress.taken
            await asyncio.sleep(0)
        assert run.progress.searching == 3
        async for outcome in run:
            found[outcome.key] = outcome
        assert run.progress.searching == 0
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 4
    assert old < {outcome.task_id for outcome in found.values()}
    posts = [record.number for record in emulator.log.select("POST", "/tasks")]
    listings = [record.number for record in emulator.log.select("GET", "/tasks") if record.query["limit"] == "100"]
    assert len(listings) == 2
    assert posts[1] < listings[0] < listings[1] < posts[2]


async def test_earlier_creates_are_decided_for_items_not_given_again(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Items that made nothing stay accepted until they are given again."""
    journal = tmp_path / "run.sqlite3"
    now = datetime.now(UTC).timestamp()
    await _record_intents(journal, emulator.url, items(2), now)
    await client.tasks.create("Do 0")
    assert await outcomes_of(runner_of(client, journal=journal), []) == {}
    assert [state for _, state in rows(journal, "position, state")] in (["running", "accepted"], ["ended", "accepted"])
    found = await outcomes_of(runner_of(client, journal=journal), items(2))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert texts(emulator) == ["Do 0", "Do 1"]


def _age(emulator: Emulator, task_ids: set[str]) -> None:
    """Have the service list tasks as if they were created three minutes earlier."""

    def change(listing: Any) -> Any:
        for task in listing["data"]:
            if task["id"] in task_ids:
                created_at = datetime.fromisoformat(task["createdAt"]) - timedelta(minutes=3)
                task["createdAt"] = created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return listing

    emulator.faults.add(Rewrite(change), Match("GET", "/tasks"), times=None)


async def test_tasks_from_before_the_intents_are_not_read(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The listing goes back to two minutes before the first intent, and known tasks aren't read."""
    journal = tmp_path / "run.sqlite3"
    _age(emulator, {(await client.tasks.create(f"Old {number}")).id for number in range(4)})
    await outcomes_of(runner_of(client, journal=journal), items(3))
    await _record_intents(journal, emulator.url, [BatchItem("late", "Late")], datetime.now(UTC).timestamp())
    emulator.log.clear()
    found = await outcomes_of(runner_of(client, journal=journal), [BatchItem("late", "Late")])
    assert found["late"].status == "completed"
    assert emulator.log.select("GET", "/tasks/[^/]+/content") == ()


async def test_a_run_that_cannot_search_creates_nothing(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """No task is made while it isn't known which tasks the last run made."""
    journal = tmp_path / "run.sqlite3"
    await _record_intents(journal, emulator.url, items(1), datetime.now(UTC).timestamp())
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    runner = runner_of(client, journal=journal, tuning={"outage_timeout": 0.05})
    with pytest.raises(errors.BatchError, match="can't find out which tasks the last run's creates made"):
        await outcomes_of(runner, items(3))
    assert creates(emulator) == 0
    emulator.faults.clear()
    assert len(await outcomes_of(runner_of(client, journal=journal), items(3))) == 3
    assert texts(emulator) == ["Do 0", "Do 1", "Do 2"]


@frozen
class OtherClock:
    """The clock of the whole service is off."""

    by: timedelta

    async def around(self, exchange: Any, respond: Callable[[], Any]) -> web.StreamResponse:
        """Move every time in the response."""
        del exchange
        response: Any = await respond()
        response.headers["Date"] = format_datetime(datetime.now(UTC) + self.by, usegmt=True)
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            document = json.loads(response.body or b"{}")
            for task in [document, *(document.get("data") or ())]:
                if task.get("createdAt"):
                    made = datetime.fromisoformat(task["createdAt"]) + self.by
                    task["createdAt"] = made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            response.body = json.dumps(document).encode()
        return response  # type: ignore[no-any-return]


@pytest.mark.parametrize("hours", [-5, 5])
async def test_the_servers_clock_counts(emulator: Emulator, client: AsyncRebyte, hours: int) -> None:
    """With hours between both clocks, the item's task isn't taken for an old one, nor old ones for the item's."""
    emulator.faults.add(OtherClock(timedelta(hours=hours)), Match(path="/tasks(/[^/]+)?"), times=None)
    _age(emulator, {(await client.tasks.create("Do 0")).id for _ in range(2)})
    async with client_of(emulator.url) as fresh:
        emulator.faults.add(Drop("after"), CREATE, times=1)
        found = await outcomes_of(runner_of(fresh), items(1))
    assert found["k0"].status == "completed"
    assert len(emulator.tasks) == 3
    assert found["k0"].started_at is not None
    assert abs(found["k0"].started_at - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=1)


async def test_creates_in_flight_with_the_same_prompt_are_waited_for(emulator: Emulator, client: AsyncRebyte) -> None:
    """The task of a create that is still in flight isn't taken for that of an ambiguous one."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"), times=1)
    emulator.faults.add(Delay(0.4, "after"), Match("POST", "/tasks", nth=2), times=1)
    emulator.script(says("a"), hold(), times=None)
    run = runner_of(client, concurrency=4).run(items(2, prompt="Do the same"))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached(count=2)
        await asyncio.sleep(0.7)
        emulator.release()
        outcomes = [await reading, await anext(run)]
    assert [outcome.status for outcome in outcomes] == ["completed", "completed"]
    assert len({outcome.task_id for outcome in outcomes}) == len(emulator.tasks) == 2


@pytest.mark.parametrize("ahead", [timedelta(hours=3), None])
async def test_a_wrong_clock_makes_no_task_twice(emulator: Emulator, ahead: timedelta | None) -> None:
    """Whether all responses or this machine have a wrong time, the tasks' own timestamps give the right one."""
    now = time.time() + 3 * 3600
    wrong = Time(wall=lambda: now) if ahead is None else Time()

    @frozen
    class OtherDate:
        """A gateway whose clock is off."""

        async def around(self, exchange: Any, respond: Callable[[], Any]) -> Any:
            """Replace the time of the response."""
            del exchange
            response: Any = await respond()
            date = "" if ahead is None else format_datetime(datetime.now(UTC) + ahead, usegmt=True)
            response.headers["Date"] = date
            return response

    emulator.faults.add(OtherDate(), Match(), times=None)
    emulator.faults.add(Drop("after"), CREATE, times=1)
    emulator.add_key(KEY)
    async with client_of(emulator.url, _time=wrong) as client:
        found = await outcomes_of(runner_of(client, concurrency=1), items(3))
        server_clock = server_clock_of(client)
        assert server_clock.is_known
        assert abs(server_clock.now() - datetime.now(UTC).timestamp()) < 60
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 3


def _show_prompts(emulator: Emulator, shown: Callable[[str], str]) -> None:
    def changed(content: Any) -> Any:
        for prompt in content["prompts"]:
            prompt["userPrompt"] = shown(prompt["userPrompt"])
        return content

    emulator.faults.add(Rewrite(changed), CONTENT, times=None)


async def test_no_create_is_absent_while_prompt_fidelity_is_unknown(emulator: Emulator, client: AsyncRebyte) -> None:
    """A batch's first create whose response is lost, and whose task shows another prompt, is not repeated."""
    _show_prompts(emulator, lambda prompt: f"[api] {prompt}")
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, concurrency=1), items(3))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 2, "ambiguous": 1}
    assert "whether the service shows prompts as they were sent" in (found["k0"].error or "")
    assert len(emulator.tasks) == 3


async def test_a_long_prompt_may_be_shown_cut(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Short prompts that are shown as sent prove nothing about a longer one."""
    journal = tmp_path / "run.sqlite3"
    _show_prompts(emulator, lambda prompt: prompt[:2000])
    await outcomes_of(runner_of(client, journal=journal), [BatchItem("short", "Do it")])
    emulator.faults.add(Drop("after"), CREATE, times=1)
    found = await outcomes_of(runner_of(client, journal=journal), [BatchItem("long", "Do it. " * 1000)])
    assert found["long"].status == "ambiguous"
    assert "shown otherwise than it was sent" in (found["long"].error or "")
    assert len(emulator.tasks) == 2
