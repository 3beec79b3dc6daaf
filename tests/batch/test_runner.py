"""Running a batch: one outcome for each item, whatever becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.emulator import Emulator, HtmlPage, Match, Status, Turn, error, fail, hold, pause, succeed
from rebyte_async.emulator import cancel as ends_canceled
from rebyte_async.emulator import text as says
from support.batches import creates, items, keys_into, outcomes_of, rows, runner_of, supplied, texts


async def test_every_item_has_an_outcome(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task for each item, and its end as the service tells it."""
    emulator.script(says("hello"), succeed("done"), prompt="one", times=None)
    emulator.script(error("out of luck"), fail("sorry"), prompt="two", times=None)
    emulator.script(says("well"), ends_canceled(), prompt="three", times=None)
    given = [BatchItem(word, word) for word in ("one", "two", "three")]
    found = await outcomes_of(runner_of(client), given)
    told = {key: (outcome.status, outcome.final_result, outcome.error) for key, outcome in found.items()}
    assert told == {
        "one": ("completed", "done", None),
        "two": ("failed", "sorry", "out of luck"),
        "three": ("canceled", "well", None),
    }
    assert {outcome.task_id for outcome in found.values()} == {task.id for task in emulator.tasks}
    for outcome in found.values():
        assert outcome.attempts == 1
        assert outcome.started_at is not None
        assert outcome.ended_at is not None
        assert outcome.is_success == (outcome.status == "completed")
    assert client.stats().open_streams == 0


async def test_everything_of_an_item_goes_into_its_create(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Files are uploaded, and the other fields sent as they are."""
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


async def test_no_more_tasks_are_open_than_allowed(emulator: Emulator, client: AsyncRebyte) -> None:
    """Concurrency bounds the tasks that are open."""
    open_ones = most = 0

    def starts(_: Turn) -> list[Any]:
        nonlocal open_ones, most
        open_ones += 1
        most = max(most, open_ones)
        return [says("on it"), pause(0.02)]

    def ends(_: Turn) -> list[Any]:
        nonlocal open_ones
        open_ones -= 1
        return [succeed("x")]

    emulator.script(starts, ends, times=None)
    found = await outcomes_of(runner_of(client, concurrency=5), items(30))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 30}
    assert most == 5


async def test_ordered_outcomes_come_in_the_items_order(emulator: Emulator, client: AsyncRebyte) -> None:
    """A late first item holds the others' outcomes back, not their tasks."""
    emulator.script(says("on it"), pause(0.2), prompt="Do 0$", times=None)
    run = runner_of(client, concurrency=4).run(items(12), ordered=True)
    assert [outcome.key async for outcome in run] == [f"k{number}" for number in range(12)]
    quick = [outcome.key async for outcome in runner_of(client, concurrency=4).run(items(12))]
    assert quick[-1] == "k0" or quick.index("k0") > 0


class Counting:
    """An endless supply of items that counts how many were asked for."""

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
    """An endless iterable costs no memory: neither slow tasks nor a slow reader let the batch run ahead."""
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


async def test_a_blocking_iterable_holds_nobody_up(emulator: Emulator, client: AsyncRebyte) -> None:
    """An item that is there doesn't wait for the next, and the loop goes on."""
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
async def test_what_the_iterable_raises_comes_behind_what_ran(client: AsyncRebyte, kind: str) -> None:
    """The application's own error is raised as it is, when the items before it have ended."""

    def supply() -> Iterator[BatchItem]:
        yield from items(3)
        raise LookupError("no more of them")

    run = runner_of(client).run(supplied(kind, supply))
    seen: list[str] = []
    with pytest.raises(LookupError, match="no more of them"):
        await keys_into(seen, run)
    assert sorted(seen) == ["k0", "k1", "k2"]
    assert [outcome async for outcome in run] == []


async def test_a_key_that_comes_twice_is_refused_by_name(emulator: Emulator, client: AsyncRebyte) -> None:
    """What came before it runs to its end; nothing after it starts."""
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
async def test_what_is_no_item_is_refused(client: AsyncRebyte, bad: Any, said: str) -> None:
    """The items before it run to their end."""
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
def test_settings_that_can_not_be_right_are_refused(options: dict[str, Any], said: str) -> None:
    """The error names the setting, and what would be right."""
    client = AsyncRebyte("rbk_x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(errors.ConfigurationError) as caught:
        BatchRunner(client, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["abc", 7, {"k": "p"}, BatchItem("k", "p")])
def test_items_have_to_be_an_iterable(given: Any) -> None:
    """A single item or a string is a mistake, told at once."""
    runner: Any = BatchRunner(AsyncRebyte("rbk_x", base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(errors.InvalidRequestError, match="items must be an iterable of BatchItem"):
        runner.run(given)
    broken: Any = BatchRunner
    with pytest.raises(errors.ConfigurationError, match="client must be an AsyncRebyte, not str"):
        broken("client")


async def test_nothing_starts_before_it_is_read_from(emulator: Emulator, client: AsyncRebyte) -> None:
    """Making a run costs nothing, and dropping it unread is fine."""
    runner_of(client).run(items(3))
    await asyncio.sleep(0.05)
    assert creates(emulator) == 0
    assert await outcomes_of(runner_of(client), []) == {}


async def test_a_refused_create_is_an_outcome(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """One item's failure is its own; a file that isn't there is one too, before anything is sent."""
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
    """No item can succeed, so none is burnt: the next run starts them all."""
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


async def test_trouble_before_a_create_is_waited_out(emulator: Emulator, client: AsyncRebyte) -> None:
    """A service that surely did nothing is asked again, beyond the client's own attempts."""
    emulator.faults.add(Status(503, headers={"Retry-After": "0"}), Match("POST", "/tasks"), times=14)
    found = await outcomes_of(runner_of(client, concurrency=2), items(4))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert {outcome.attempts for outcome in found.values()} == {1}
    assert len(emulator.tasks) == 4


async def test_trouble_that_does_not_end_ends_the_run(client: AsyncRebyte, emulator: Emulator, tmp_path: Path) -> None:
    """After the time of patience nothing more is tried, and nothing is burnt."""
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
    behind = [record for record in posts if record.number > refused.number]
    at_once = [record for record in behind if (record.time - refused.time).total_seconds() < 0.25]
    assert len(at_once) <= 2, "only those that were on their way already"


async def test_max_new_tasks_caps_what_a_run_makes(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """What the cap left is told as skipped, and the next run starts it."""
    journal = tmp_path / "run.sqlite3"
    made = 0
    for expected in (4, 4, 2, 0):
        found = await outcomes_of(runner_of(client, journal=journal, max_new_tasks=4, concurrency=3), items(10))
        made += expected
        assert len(emulator.tasks) == made
        assert Counter(outcome.status for outcome in found.values()) == Counter(completed=made, skipped=10 - made)
    nothing = await outcomes_of(runner_of(client, max_new_tasks=0), items(3))
    assert {outcome.status for outcome in nothing.values()} == {"skipped"}


async def test_a_create_that_made_nothing_gives_its_count_back(emulator: Emulator, client: AsyncRebyte) -> None:
    """The cap is on tasks, not on tries."""
    emulator.faults.add(Status(400), Match("POST", "/tasks"), times=2)
    found = await outcomes_of(runner_of(client, max_new_tasks=3, concurrency=1), items(6))
    assert Counter(outcome.status for outcome in found.values()) == {"error": 2, "completed": 3, "skipped": 1}
    assert len(emulator.tasks) == 3


async def test_progress_tells_how_far_it_is(emulator: Emulator, client: AsyncRebyte) -> None:
    """Counts, the rate, and the slowest of what runs."""
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


async def test_reading_streams_in_trouble_changes_nothing(emulator: Emulator, client: AsyncRebyte) -> None:
    """A gateway's pages on every other read are waited out."""
    emulator.faults.add(HtmlPage(502), Match("GET", probability=0.5), times=None)
    found = await outcomes_of(runner_of(client, concurrency=8), items(16))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.tasks) == 16


async def test_without_a_journal_nothing_is_left_behind(
    client: AsyncRebyte, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch without a journal is the same code on a file that nobody sees."""
    monkeypatch.chdir(tmp_path)
    found = await outcomes_of(runner_of(client), items(3))
    assert len(found) == 3
    assert list(tmp_path.iterdir()) == []


async def test_a_limit_of_the_organization_burns_no_items(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """It is no item's fault: the run ends, and the next one makes them."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(400, code="limit_exceeded"), Match("POST", "/tasks"), times=None)
    with pytest.raises(errors.BatchError, match="the batch can't continue: LimitExceededError") as caught:
        await outcomes_of(runner_of(client, journal=journal, concurrency=2), items(20))
    assert isinstance(caught.value.__cause__, errors.LimitExceededError)
    assert {row[1:] for row in rows(journal, "key, state, attempts")} == {("accepted", 0)}
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(20))
    assert {outcome.status for outcome in found.values()} == {"completed"}


async def test_a_source_that_is_cancelled_ends_the_run(client: AsyncRebyte) -> None:
    """Something that it awaits was cancelled: nobody waits for items that never come."""

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


async def test_a_listing_that_fails_holds_up_no_create(emulator: Emulator, client: AsyncRebyte) -> None:
    """It is needed where a create gets lost, and not before."""
    emulator.faults.add(Status(500), Match("GET", "/tasks"), times=None)
    async with asyncio.timeout(5):
        found = await outcomes_of(runner_of(client), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
