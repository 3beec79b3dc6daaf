"""Running a batch: each item gets one outcome."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem, BatchProgress, BatchRunner
from rebyte_async.emulator import Emulator, HtmlPage, Match, Status, Turn, error, fail, hold, succeed
from rebyte_async.emulator import cancel as ends_canceled
from rebyte_async.emulator import text as says
from support.batches import creates, items, keys_into, outcomes_of, rows, runner_of, supplied, texts


async def test_every_item_has_an_outcome(emulator: Emulator, client: AsyncRebyte) -> None:
    """Each item gets a task, and an outcome with the task's end."""
    emulator.script(says("hello"), succeed("done"), prompt="one", times=None)
    emulator.script(error("out of luck"), fail("sorry"), prompt="two", times=None)
    emulator.script(says("well"), ends_canceled(), prompt="three", times=None)
    given = [BatchItem(word, word) for word in ("one", "two", "three")]
    found = await outcomes_of(runner_of(client), given)
    ends = {key: (outcome.status, outcome.final_result, outcome.error) for key, outcome in found.items()}
    assert ends == {
        "one": ("completed", "done", None),
        "two": ("failed", "sorry", "out of luck"),
        "three": ("canceled", "well", "the task was canceled"),
    }
    assert {outcome.task_id for outcome in found.values()} == {task.id for task in emulator.tasks}
    for outcome in found.values():
        assert outcome.attempts == 1
        assert outcome.started_at is not None
        assert outcome.ended_at is not None
        assert outcome.is_success == (outcome.status == "completed")
    assert client.stats().open_streams == 0


async def test_all_fields_of_an_item_are_sent(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """An item's files are uploaded, and its other fields are sent in the create."""
    (tmp_path / "a.csv").write_text("1,2", encoding="utf-8")
    item = BatchItem(
        "k",
        "Do it",
        executor="codex",
        model="m",
        files=[tmp_path / "a.csv", ("b.txt", b"hello")],
        skills=["pdf"],
        github_url="a/b",
        branch_name="dev",
        extra={"effort": "high"},
    )
    found = await outcomes_of(runner_of(client), [item])
    assert found["k"].status == "completed"
    (record,) = emulator.log.select("POST", "/tasks")
    body = record.json()
    assert {file["filename"] for file in body.pop("files")} == {file.filename for file in emulator.files}
    assert body == {
        "prompt": "Do it",
        "executor": "codex",
        "model": "m",
        "skills": ["pdf"],
        "githubUrl": "a/b",
        "branchName": "dev",
        "effort": "high",
    }


async def test_concurrency_limits_open_tasks(emulator: Emulator, client: AsyncRebyte) -> None:
    """At most `concurrency` tasks are open at once."""
    started = open_ones = most = 0

    def starts(_: Turn) -> list[Any]:
        nonlocal started, open_ones, most
        started += 1
        open_ones += 1
        most = max(most, open_ones)
        return [says("on it"), *([hold()] if started <= 5 else [])]

    def ends(_: Turn) -> list[Any]:
        nonlocal open_ones
        open_ones -= 1
        return [succeed("x")]

    async def release_when_five_are_open() -> None:
        while open_ones < 5:
            await asyncio.sleep(0.01)
        emulator.release()

    emulator.script(starts, ends, times=None)
    releasing = asyncio.create_task(release_when_five_are_open())
    found = await outcomes_of(runner_of(client, concurrency=5), items(30))
    await releasing
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 30}
    assert most == 5


async def test_ordered_outcomes_come_in_the_items_order(emulator: Emulator, client: AsyncRebyte) -> None:
    """A slow first item holds the outcomes of the others back, but not their tasks."""
    emulator.script(says("on it"), hold(), prompt="Do 0$", times=None)

    async def release_when_all_have_started() -> None:
        while len(emulator.tasks) < 12:
            await asyncio.sleep(0.01)
        emulator.release()

    releasing = asyncio.create_task(release_when_all_have_started())
    run = runner_of(client, concurrency=4).run(items(12), ordered=True)
    assert [outcome.key async for outcome in run] == [f"k{number}" for number in range(12)]
    await releasing


async def test_outcomes_come_as_items_end(emulator: Emulator, client: AsyncRebyte) -> None:
    """Without an order a slow first item holds nothing back."""
    emulator.script(says("on it"), hold(), prompt="Do 0$")
    keys: list[str] = []
    async for outcome in runner_of(client, concurrency=4).run(items(12)):
        keys.append(outcome.key)
        if len(keys) == 11:
            assert "k0" not in keys
            emulator.release()
    assert keys[-1] == "k0"


class Counting:
    """An endless iterable of items that counts how many were read."""

    def __init__(self) -> None:
        self.given = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[BatchItem]:
        while True:
            self.threads.add(threading.get_ident())
            self.given += 1
            yield BatchItem(f"k{self.given}", "Do it")

    async def __aiter__(self) -> AsyncIterator[BatchItem]:
        for item in self:
            yield item


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_items_are_read_only_as_far_as_there_is_room(
    emulator: Emulator, client: AsyncRebyte, kind: str, *, ordered: bool
) -> None:
    """With slow tasks or a slow reader, an endless iterable is read no further than the window."""
    supply = Counting()
    given = (item for item in supply) if kind == "sync" else aiter(supply)
    async with runner_of(client, concurrency=3).run(given, ordered=ordered) as run:
        for _ in range(10):
            await anext(run)
        await asyncio.sleep(0.3)
        assert creates(emulator) <= 10 + 2 * 3 + 64
        assert supply.given <= 10 + 2 * 3 + 64 + 3 + 1
        assert run.progress.taken <= supply.given
    if kind == "sync":
        assert threading.get_ident() not in supply.threads


async def test_a_blocking_iterable_delays_neither_items_nor_the_loop(emulator: Emulator, client: AsyncRebyte) -> None:
    """An item that was read doesn't wait for the next one, and the event loop keeps running."""
    gate = threading.Event()

    def supply() -> Iterator[BatchItem]:
        yield BatchItem("first", "Do it")
        gate.wait()
        yield BatchItem("second", "Do it")

    run = runner_of(client).run(supply())
    assert (await anext(run)).key == "first"
    gate.set()
    assert [outcome.key async for outcome in run] == ["second"]
    assert creates(emulator) == 2


@pytest.mark.parametrize("kind", ["list", "generator", "async"])
async def test_an_error_of_the_iterable_is_raised_after_the_outcomes(client: AsyncRebyte, kind: str) -> None:
    """The application's own error is raised unchanged after the items before it have ended."""

    def supply() -> Iterator[BatchItem]:
        yield from items(3)
        raise LookupError("no more of them")

    run = runner_of(client).run(supplied(kind, supply))
    seen: list[str] = []
    with pytest.raises(LookupError, match="no more of them"):
        await keys_into(seen, run)
    assert sorted(seen) == ["k0", "k1", "k2"]
    assert [outcome async for outcome in run] == []


async def test_a_repeated_key_is_refused(emulator: Emulator, client: AsyncRebyte) -> None:
    """The error names the key; the items before it end, and none after it starts."""
    given = [*items(4), BatchItem("k2", "Something else"), BatchItem("k9", "Do 9")]
    run = runner_of(client).run(given)
    seen: list[str] = []
    with pytest.raises(errors.BatchError, match="the key 'k2' comes twice"):
        await keys_into(seen, run)
    assert sorted(seen) == ["k0", "k1", "k2", "k3"]
    assert texts(emulator) == ["Do 0", "Do 1", "Do 2", "Do 3"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("k1", "items must give BatchItem, not str: 'k1'"),
        (BatchItem("k1", "p", extra={"x": {1, 2}}), "'k1' can't be written as JSON"),
    ],
)
async def test_objects_that_are_not_items_are_refused(client: AsyncRebyte, bad: Any, said: str) -> None:
    """The items before such an object run to their ends."""
    seen: list[str] = []
    with pytest.raises(errors.BatchError) as caught:
        await keys_into(seen, runner_of(client).run([*items(1), bad]))
    assert said in str(caught.value)
    assert seen == ["k0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number, at least 1, not 0"),
        ({"concurrency": True}, "concurrency must be"),
        ({"max_new_tasks": -1}, "max_new_tasks must be a whole number, at least 0"),
        ({"max_streams": 1.5}, "max_streams must be"),
        ({"reconcile_settle": -1}, "reconcile_settle must be a number of seconds"),
        ({"on_ambiguous": "retry"}, "on_ambiguous must be 'reconcile' or 'report', not 'retry'"),
        ({"journal": 7}, "journal must be a path"),
        ({"workspaces": 0}, "workspaces must be a number of agent computers"),
        ({"workspaces": []}, "workspaces must be"),
        ({"workspaces": ["a", "a"]}, "each once"),
        ({"workspaces": "a"}, "workspaces must be"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], said: str) -> None:
    """The error names the setting, and says what it must be."""
    client = AsyncRebyte("rbk_x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(errors.ConfigurationError) as caught:
        BatchRunner(client, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["abc", 7, {"k": "p"}, BatchItem("k", "p")])
def test_items_have_to_be_an_iterable(given: Any) -> None:
    """A single item or a string is refused at once."""
    runner: Any = BatchRunner(AsyncRebyte("rbk_x", base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(errors.InvalidRequestError, match="items must be an iterable of BatchItem"):
        runner.run(given)
    broken: Any = BatchRunner
    with pytest.raises(errors.ConfigurationError, match="client must be an AsyncRebyte, not str"):
        broken("client")


async def test_a_run_starts_when_it_is_first_read(emulator: Emulator, client: AsyncRebyte) -> None:
    """Making a run starts nothing, and dropping it unread warns of nothing."""
    runner_of(client).run(items(3))
    await asyncio.sleep(0.05)
    assert creates(emulator) == 0
    assert await outcomes_of(runner_of(client), []) == {}


async def test_a_refused_create_is_an_outcome(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """A refused create or a missing file is the outcome of its item, and the others run."""
    emulator.disable_executor("codex")
    given = [
        BatchItem("good", "Do it"),
        BatchItem("disabled", "Do it too", executor="codex"),
        BatchItem("no file", "Read it", files=[tmp_path / "none.csv"]),
        BatchItem("nowhere", "Do it there", workspace_id="11111111-1111-4111-8111-111111111111"),
    ]
    found = await outcomes_of(runner_of(client), given)
    assert {key: outcome.status for key, outcome in found.items()} == {
        "good": "completed",
        "disabled": "error",
        "no file": "error",
        "nowhere": "error",
    }
    assert (found["disabled"].error or "").startswith("AgentDisabledError: ")
    assert "none.csv" in (found["no file"].error or "")
    assert (found["nowhere"].error or "").startswith("NotFoundError: ")
    assert found["no file"].attempts == 0
    assert found["disabled"].attempts == 1
    assert len(emulator.tasks) == 1


async def test_a_refused_key_ends_the_run(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The run ends, no item is recorded as failed, and the next run starts them all."""
    emulator.faults.add(Status(401), Match("POST", "/tasks"), times=None)
    journal = tmp_path / "run.sqlite3"
    seen: list[str] = []
    with pytest.raises(errors.BatchError, match="the batch can't continue: InvalidAPIKeyError") as caught:
        async for outcome in runner_of(client, journal=journal, concurrency=2).run(items(50)):
            assert outcome.status == "error"
            seen.append(outcome.key)
    assert isinstance(caught.value.__cause__, errors.AuthenticationError)
    assert 1 <= len(seen) < 20
    assert {state for _, state, _ in rows(journal, "position, state, attempts")} == {"accepted"}
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(50))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert {outcome.attempts for outcome in found.values()} == {1}


async def test_an_outage_before_creates_is_waited_out(emulator: Emulator, client: AsyncRebyte) -> None:
    """Creates that certainly made nothing are repeated beyond the client's own attempts."""
    emulator.faults.add(Status(503, headers={"Retry-After": "0"}), Match("POST", "/tasks"), times=14)
    found = await outcomes_of(runner_of(client, concurrency=2), items(4))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert {outcome.attempts for outcome in found.values()} == {1}
    assert len(emulator.tasks) == 4


async def test_a_long_outage_ends_the_run(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """After the outage timeout nothing more is sent, and no item is recorded as failed."""
    emulator.faults.add(Status(503, headers={"Retry-After": "0"}), Match("POST", "/tasks"), times=None)
    journal = tmp_path / "run.sqlite3"
    runner = runner_of(client, journal=journal, concurrency=2, tuning={"outage_timeout": 0.2})
    with pytest.raises(errors.BatchError, match="the batch can't continue: InternalServerError"):
        await outcomes_of(runner, items(10))
    assert {state for _, state in rows(journal, "position, state")} == {"accepted"}


async def test_one_429_pauses_every_create(emulator: Emulator, client: AsyncRebyte) -> None:
    """The client's pause holds for the whole batch, and each item is still made once."""
    emulator.faults.add(Status(429, headers={"Retry-After": "0.3"}), Match("POST", "/tasks", nth=5), times=1)
    found = await outcomes_of(runner_of(client, concurrency=3), items(30))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 30
    posts = emulator.log.select("POST", "/tasks")
    (refused,) = [record for record in posts if record.status == 429]
    later = [record for record in posts if record.number > refused.number]
    at_once = [record for record in later if (record.time - refused.time).total_seconds() < 0.25]
    assert len(at_once) <= 2, "only those that were on their way already"


async def test_max_new_tasks_limits_the_creates_of_a_run(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Items beyond the limit end `skipped`, and the next run starts them."""
    journal = tmp_path / "run.sqlite3"
    made = 0
    for expected in (4, 4, 2, 0):
        found = await outcomes_of(runner_of(client, journal=journal, max_new_tasks=4, concurrency=3), items(10))
        made += expected
        assert len(emulator.tasks) == made
        assert Counter(outcome.status for outcome in found.values()) == Counter(completed=made, skipped=10 - made)
    nothing = await outcomes_of(runner_of(client, max_new_tasks=0), items(3))
    assert {outcome.status for outcome in nothing.values()} == {"skipped"}


async def test_a_create_that_made_nothing_is_refunded(emulator: Emulator, client: AsyncRebyte) -> None:
    """The limit counts tasks, not attempts."""
    emulator.faults.add(Status(400), Match("POST", "/tasks"), times=2)
    found = await outcomes_of(runner_of(client, max_new_tasks=3, concurrency=1), items(6))
    assert Counter(outcome.status for outcome in found.values()) == {"error": 2, "completed": 3, "skipped": 1}
    assert len(emulator.tasks) == 3


async def test_progress_has_counts_the_rate_and_the_slowest(emulator: Emulator, client: AsyncRebyte) -> None:
    """A run's progress has its counts, its rate, and the tasks that run longest."""
    emulator.script(says("on it"), hold(), prompt="Do 1$", times=None)
    run = runner_of(client, concurrency=4).run(items(6))
    assert run.progress.taken == run.progress.done == 0
    for _ in range(5):
        await anext(run)
    progress = run.progress
    assert progress.taken == 6
    assert progress.ended == {"completed": 5}
    assert progress.running == 1
    assert progress.created == 6
    assert progress.rate > 0
    assert [slow.key for slow in progress.slowest] == ["k1"]
    emulator.release()
    assert [outcome.key async for outcome in run] == ["k1"]
    assert run.progress.running == 0
    assert run.progress.slowest == ()


@pytest.mark.parametrize(("kind", "before", "after"), [(list, 6, 6), (tuple, 6, 6), (iter, None, 6)])
async def test_the_total(
    client: AsyncRebyte, kind: Callable[[list[BatchItem]], Iterable[BatchItem]], before: int | None, after: int
) -> None:
    """The total is the length of what has one; what is read lazily has it once all is taken."""
    run = runner_of(client, concurrency=1).run(kind(items(6)))
    assert run.progress.total == before
    await anext(run)
    assert run.progress.total in (before, after)
    assert [_ async for _ in run]
    assert (run.progress.total, run.progress.done, run.progress.eta) == (after, after, timedelta(0))


@pytest.mark.parametrize("given", [2, 9])
async def test_a_total_that_is_wrong(client: AsyncRebyte, given: int) -> None:
    """A given total counts until it is known better: it is never less than what was taken."""
    run = runner_of(client, concurrency=1).run(items(6), total=given)
    assert run.progress.total == given
    totals = [run.progress.total async for _ in run]
    assert all((total or 0) >= min(given, 6) for total in totals)
    assert run.progress.total == 6


@pytest.mark.parametrize(
    ("progress", "seconds"),
    [
        (BatchProgress(), None),
        (BatchProgress(rate=2.0, ended={"completed": 3}), None),  # no total
        (BatchProgress(total=10, ended={"completed": 3}), None),  # nothing ended within the last minute
        (BatchProgress(total=10, rate=2.0, ended={"completed": 3, "failed": 1}), 3),
        (BatchProgress(total=10, rate=2.0, ended={"completed": 3}, running=5, creating=1), 3.5),
        (BatchProgress(total=10, rate=2.0, ended={"completed": 3}, running=5, creating=2), None),  # all run
        (BatchProgress(total=10, ended={"completed": 10}), 0),
        (BatchProgress(total=0), 0),
    ],
)
def test_the_time_left(progress: BatchProgress, seconds: float | None) -> None:
    """What is left is divided by the rate, where something waits to start; else it isn't known."""
    assert progress.eta == (None if seconds is None else timedelta(seconds=seconds))
    assert (progress.to_dict()["eta"], progress.to_dict()["done"]) == (seconds, progress.done)


async def test_failing_reads_are_waited_out(emulator: Emulator, client: AsyncRebyte) -> None:
    """A gateway's pages on every other read end no wait."""
    emulator.faults.add(HtmlPage(502), Match("GET", probability=0.5), times=None)
    found = await outcomes_of(runner_of(client, concurrency=8), items(16))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 16


async def test_a_batch_without_a_journal_leaves_no_file(
    client: AsyncRebyte, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a journal nothing is left in the working directory."""
    monkeypatch.chdir(tmp_path)
    found = await outcomes_of(runner_of(client), items(3))
    assert len(found) == 3
    assert list(tmp_path.iterdir()) == []


async def test_a_limit_of_the_organization_fails_no_item(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The run ends, no item is recorded as failed, and the next run makes them."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(400, code="limit_exceeded"), Match("POST", "/tasks"), times=None)
    with pytest.raises(errors.BatchError, match="the batch can't continue: LimitExceededError") as caught:
        await outcomes_of(runner_of(client, journal=journal, concurrency=2), items(20))
    assert isinstance(caught.value.__cause__, errors.LimitExceededError)
    assert {row[1:] for row in rows(journal, "key, state, attempts")} == {("accepted", 0)}
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(20))
    assert {outcome.status for outcome in found.values()} == {"completed"}


async def test_an_iterable_that_is_cancelled_ends_the_run(client: AsyncRebyte) -> None:
    """If something that the iterable awaits is cancelled, the run ends with an error instead of waiting forever."""

    async def supply() -> AsyncIterator[BatchItem]:
        yield BatchItem("a", "Do it")
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    seen: list[str] = []
    async with asyncio.timeout(5):
        with pytest.raises(errors.BatchError, match="the iterable of the items was cancelled"):
            await keys_into(seen, runner_of(client).run(supply()))
    assert seen == ["a"]


async def test_a_failing_listing_delays_no_create(emulator: Emulator, client: AsyncRebyte) -> None:
    """The first listing only matters once a create is ambiguous."""
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    async with asyncio.timeout(5):
        found = await outcomes_of(runner_of(client), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
