"""The promises that every store of journals keeps. A further store is added to `STORES`, and goes through all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rebyte_async.batch.journal import AgentComputerRecord, DuplicateTaskError, ItemRecord, JournalStore, NewItem
from rebyte_async.batch.journal.records import ItemChange
from rebyte_async.errors import BatchError, JournalBusyError, JournalError
from support.stores import STORES

RUNNING: ItemChange = {"state": "running", "task_id": "task-0", "started_at": 11.0}
ENDED: ItemChange = {"state": "ended", "status": "failed", "error": "No", "ended_at": 12.0}


@pytest.fixture(params=STORES.values(), ids=list(STORES))
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], JournalStore]:
    """Make a store of the journal of this test; it isn't open."""
    make: Callable[[], JournalStore] = request.param(tmp_path, lambda: request.getfixturevalue("postgres"))
    return make


@pytest.fixture
async def store(make_store: Callable[[], JournalStore]) -> AsyncIterator[JournalStore]:
    """A store that is open, with one run."""
    made = make_store()
    await made.open("https://api.example/v1")
    assert await made.begin_run(started_at=1.0, pid=1) == 1
    yield made
    await made.aclose()


def new_item(number: int, *, prompt: str = "Do", request: str | None = None) -> NewItem:
    """An item with the key k<number>."""
    text = request or f'{{"key": "k{number}", "prompt": "{prompt}"}}'
    return NewItem(f"k{number}", text.encode(), text, prompt.encode())


async def accept(store: JournalStore, count: int, run: int = 1) -> list[ItemRecord]:
    """Have a run accept the items k0, k1 and so on."""
    records: list[ItemRecord] = []
    for given in await store.accept_items([new_item(number) for number in range(count)], run):
        assert isinstance(given, ItemRecord)
        records.append(given)
    return records


async def change(store: JournalStore, record: ItemRecord, change: ItemChange) -> None:
    """Record a change, and apply it."""
    await store.update_items([record], change)
    record.apply(change)


async def test_an_item_is_accepted_once_in_a_run(store: JournalStore) -> None:
    """A second item with the key is refused; the others of the call are accepted."""
    first, twice, second = await store.accept_items([new_item(0), new_item(0), new_item(1)], 1)
    assert isinstance(first, ItemRecord)
    assert isinstance(second, ItemRecord)
    assert (first.key, first.state, first.attempts, first.run) == ("k0", "accepted", 0, 1)
    assert first.position < second.position
    assert isinstance(twice, BatchError)
    assert "comes twice" in str(twice)


async def test_a_later_run_gets_what_is_recorded(store: JournalStore) -> None:
    """A later run gets all that earlier runs recorded of an item, and is the owner of its record."""
    (record,) = await accept(store, 1)
    for step in (RUNNING, ENDED):
        await change(store, record, step)
    run = await store.begin_run(started_at=2.0, pid=1)
    record.run = run
    assert await accept(store, 1, run) == [record]
    (twice,) = await store.accept_items([new_item(0)], run)
    assert isinstance(twice, BatchError)


async def test_a_changed_item_is_refused(store: JournalStore) -> None:
    """The error names the field, and its value in the journal."""
    await accept(store, 1)
    run = await store.begin_run(started_at=2.0, pid=1)
    (refused,) = await store.accept_items([new_item(0, prompt="Do more")], run)
    assert isinstance(refused, BatchError)
    assert 'another prompt ("Do")' in str(refused)


async def test_an_item_whose_metadata_has_changed_is_the_same(
    store: JournalStore, make_store: Callable[[], JournalStore]
) -> None:
    """Its record continues where it was, with the new metadata, and a refused item's metadata names no difference."""
    (record,) = await accept(store, 1)
    await change(store, record, RUNNING)
    run = await store.begin_run(started_at=2.0, pid=1)
    request = '{"key": "k0", "prompt": "Do", "metadata": {"row": 7}}'
    (known,) = await store.accept_items([NewItem("k0", record.fingerprint, request, record.prompt_hash)], run)
    assert isinstance(known, ItemRecord)
    assert (known.state, known.task_id, known.request) == ("running", "task-0", request)
    later = await store.begin_run(started_at=3.0, pid=1)
    (refused,) = await store.accept_items([new_item(0, prompt="Do more")], later)
    assert isinstance(refused, BatchError)
    assert "metadata" not in str(refused)
    await store.update_items([known], ENDED | {"state": "creating"})
    await store.aclose()
    other = make_store()
    await other.open(None)
    try:
        assert [record.request for record in await other.records_in_state("creating")] == [request]
    finally:
        await other.aclose()


async def test_what_is_recorded_outlives_the_store(store: JournalStore, make_store: Callable[[], JournalStore]) -> None:
    """Another store of the same place has the batch's id, the records and the agent computers."""
    records = await accept(store, 2)
    await change(store, records[0], RUNNING)
    computer = AgentComputerRecord(0, "batch-0", "ws-1", 10.0)
    await store.save_agent_computer(computer)
    await store.aclose()
    other = make_store()
    batch_id = await other.open(None)
    try:
        assert batch_id
        records[0].request = ""  # a running item comes without it
        assert await other.records_in_state("running") == [records[0]]
        assert await other.agent_computers() == [computer]
    finally:
        await other.aclose()
    again = make_store()
    assert await again.open("https://api.example/v1") == batch_id
    await again.aclose()


async def test_a_batch_on_another_address_is_refused(
    store: JournalStore, make_store: Callable[[], JournalStore]
) -> None:
    """A batch's tasks exist on its own address alone: on another it is refused, and the journal is free afterwards."""
    await store.aclose()
    with pytest.raises(BatchError, match=r"is of a batch on https://api\.example/v1"):
        await make_store().open("https://other.example/v1")
    other = make_store()
    await other.open(None)
    await other.aclose()


async def test_a_store_that_is_not_open_refuses_everything(
    store: JournalStore, make_store: Callable[[], JournalStore]
) -> None:
    """A store refuses every call before it is opened, and after it was closed."""
    with pytest.raises(JournalError, match="isn't open"):
        await make_store().agent_computers()
    await store.aclose()
    await store.aclose()
    with pytest.raises(JournalError, match="is closed"):
        await store.begin_run(started_at=1.0, pid=1)


async def test_a_store_in_use_is_refused_or_shared(store: JournalStore, make_store: Callable[[], JournalStore]) -> None:
    """A second store of the place raises JournalBusyError, unless the kind of store can be shared."""
    other = make_store()
    try:
        batch_id = await other.open(None)
    except JournalBusyError:
        await accept(store, 1)  # the first isn't disturbed
    else:
        assert batch_id
        await other.aclose()


async def test_a_task_belongs_to_one_item(store: JournalStore) -> None:
    """A second item with the task is refused, and other writes of the same time are recorded."""
    first, second, third = await accept(store, 3)
    await change(store, first, RUNNING)
    refused, recorded = await asyncio.gather(
        store.update_items([second], RUNNING),
        store.update_items([third], RUNNING | {"task_id": "task-2"}),
        return_exceptions=True,
    )
    assert isinstance(refused, DuplicateTaskError)
    assert recorded is None
    assert [record.task_id for record in await store.records_in_state("running")] == ["task-0", "task-2"]
    assert (await store.accept_items([new_item(1)], 1))[0] != second


async def test_changes_of_several_items(store: JournalStore) -> None:
    """One call changes all of its records, and only the named fields."""
    records = await accept(store, 3)
    for record in records:
        await change(store, record, {"state": "creating", "attempts": 1, "intent_at": 20.0 - record.position})
    await store.update_items(records[:2], {"state": "accepted", "intent_at": None})
    assert await store.records_in_state("creating") == records[2:]
    run = await store.begin_run(started_at=2.0, pid=1)
    again = await accept(store, 3, run)
    assert [(record.state, record.attempts, record.intent_at) for record in again[:2]] == [("accepted", 1, None)] * 2


async def test_records_come_by_the_time_of_their_intents(store: JournalStore) -> None:
    """Open records come in the order of their intents, ambiguous ones with their requests."""
    records = await accept(store, 4)
    for record in records:
        await change(store, record, {"state": "creating", "intent_at": 20.0 - record.position})
    assert await store.records_in_state("creating") == records[::-1]
    assert await store.records_in_state("running") == []


async def test_writes_of_one_time_are_kept_in_order(store: JournalStore) -> None:
    """The last of many writes to one record is the one that stays."""
    (record,) = await accept(store, 1)
    await asyncio.gather(
        *(store.update_items([record], {"state": "creating", "attempts": number}) for number in range(50))
    )
    (found,) = await store.records_in_state("creating")
    assert found.attempts == 49


async def test_a_write_is_recorded_though_its_caller_is_cancelled(store: JournalStore) -> None:
    """A write that was asked for reaches the journal."""
    (record,) = await accept(store, 1)
    write = asyncio.ensure_future(store.update_items([record], RUNNING))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert [found.task_id for found in await store.records_in_state("running")] == ["task-0"]


async def test_reopened_items(store: JournalStore) -> None:
    """An ambiguous item is reconciled again, the others start anew; tasks of before are still known."""
    records = await accept(store, 4)
    for number, (record, status) in enumerate(zip(records, ("failed", "failed", "ambiguous", "error"), strict=True)):
        task_id = f"task-{number}" if status == "failed" else None
        intent_at = None if status == "error" else 10.0
        await change(store, record, ENDED | {"status": status, "task_id": task_id, "intent_at": intent_at})
    assert await store.reopen_items(["failed"], ["k0", "k2", "unknown"]) == 1
    assert await store.reopen_items(["ambiguous", "error"], None) == 2
    assert await store.reopen_items(["completed"], None) == 0
    run = await store.begin_run(started_at=2.0, pid=1)
    again = await accept(store, 4, run)
    assert [(record.state, record.status, record.task_id, record.error) for record in again] == [
        ("accepted", None, None, None),
        ("ended", "failed", "task-1", "No"),
        ("creating", None, None, None),
        ("accepted", None, None, None),
    ]
    assert again[2].intent_at == 10.0
    assert await store.owned_task_ids(["task-0", "task-1", "task-9"]) == {"task-0", "task-1"}


async def test_what_is_known_among_many_values(store: JournalStore) -> None:
    """A call may ask for more values than one statement holds."""
    await store.accept_items([new_item(number, prompt=f"Do {number}") for number in range(1_500)], 1)
    hashes = [f"Do {number}".encode() for number in range(0, 3_000, 2)]
    assert await store.known_prompt_hashes(hashes) == set(hashes[:750])
    assert await store.known_prompt_hashes([]) == set()
    assert await store.owned_task_ids([f"task-{number}" for number in range(2_000)]) == set()


async def test_undecided_items_have_an_intent_and_no_task(store: JournalStore) -> None:
    """Those that are `creating` or ended `ambiguous`, with one of the prompts; no others."""
    records = await accept(store, 5)
    intent: ItemChange = {"state": "creating", "intent_at": 10.0}
    for record in records[1:]:
        await change(store, record, intent)
    await change(store, records[2], ENDED | {"status": "ambiguous"})
    await change(store, records[3], ENDED)
    await change(store, records[4], ENDED | {"status": "ambiguous", "intent_at": None})
    found = await store.undecided_records([b"other", *(b"%d" % number for number in range(1_000)), b"Do"])
    assert found == records[1:3]
    assert await store.undecided_records([b"other"]) == []


async def test_samples_are_recent_tasks_with_long_requests(store: JournalStore) -> None:
    """Three of the last tasks, the longest request first; items without a task don't count."""
    items = [new_item(number, request=f'{{"key": "k{number}"}}' + " " * (number % 5)) for number in range(10)]
    accepted = [record for record in await store.accept_items(items, 1) if isinstance(record, ItemRecord)]
    assert await store.recent_task_samples() == []
    for record in accepted[:9]:
        await change(store, record, RUNNING | {"task_id": f"task-{record.key}"})
    samples = await store.recent_task_samples()
    assert samples == [("task-k4", b"Do"), ("task-k8", b"Do"), ("task-k3", b"Do")]


async def test_the_clocks_of_intents_and_tasks(store: JournalStore) -> None:
    """The last intent before a time, and the least time from an intent to its task."""
    assert await store.latest_intent(before=100.0) is None
    assert await store.min_clock_offset(since=0.0) is None
    records = await accept(store, 3)
    for record, intent_at, started_at in zip(records, (10.0, 20.0, 30.0), (11.0, 18.0, None), strict=True):
        values: ItemChange = {"state": "creating", "intent_at": intent_at, "started_at": started_at}
        await change(store, record, values | ({} if started_at is None else {"task_id": f"task-{intent_at}"}))
    assert await store.latest_intent(before=30.0) == 20.0
    assert await store.min_clock_offset(since=0.0) == -2.0
    assert await store.min_clock_offset(since=21.0) is None


async def test_the_notes_of_earlier_runs(store: JournalStore) -> None:
    """A run sees the notes of the runs before it, and not its own."""
    await store.update_run(1, note="one")
    second = await store.begin_run(started_at=2.0, pid=1)
    third = await store.begin_run(started_at=3.0, pid=1)
    await store.update_run(third, note="three", ended_at=4.0)
    assert second < third
    assert await store.run_notes(before=third) == ["one"]
    assert await store.run_notes(before=1) == []


async def test_an_agent_computer_replaces_the_one_of_its_slot(store: JournalStore) -> None:
    """Agent computers come by slot, the latest of each; an intended one has no id."""
    intent = AgentComputerRecord(1, "batch-1", None, 10.0)
    made = AgentComputerRecord(0, "batch-0", "ws-0", 10.0)
    for record in (intent, AgentComputerRecord(0, "batch-0", None, 10.0), made):
        await store.save_agent_computer(record)
    assert await store.agent_computers() == [made, intent]
