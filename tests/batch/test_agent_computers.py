"""Batches with their own agent computers: a few, with one task at a time on each."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async._clock import Time
from rebyte_async.batch import BatchItem
from rebyte_async.batch.agent_computers import AgentComputerPool
from rebyte_async.batch.context import Outage
from rebyte_async.batch.settings import Tuning
from rebyte_async.emulator import Drop, Emulator, Match, Status, Turn, hold, pause, succeed
from rebyte_async.emulator import text as says
from support.batches import creates, items, outcomes_of, rows, runner_of
from support.clients import client_of
from support.journals import open_run_journal

MAKE = Match("POST", "/agent-computers")


class Busy:
    """Counts the tasks that run at once on each agent computer."""

    def __init__(self, emulator: Emulator) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        emulator.script(self.starts, self.ends, times=None)

    def starts(self, turn: Turn) -> list[Any]:
        """Count a task that starts."""
        self.now[turn.workspace_id] += 1
        self.most[turn.workspace_id] = max(self.most[turn.workspace_id], self.now[turn.workspace_id])
        return [says("on it"), pause(0.01)]

    def ends(self, turn: Turn) -> list[Any]:
        """Count a task that ends."""
        self.now[turn.workspace_id] -= 1
        return [succeed("x")]


async def test_items_share_agent_computers(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Twenty items run on three agent computers, one at a time on each, and a second run uses the same three."""
    busy = Busy(emulator)
    journal = tmp_path / "run.sqlite3"
    found = await outcomes_of(runner_of(client, journal=journal, workspaces=3), items(20))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    computers = {computer.id async for computer in client.agent_computers.list()}
    assert set(busy.most) == computers
    assert busy.most == dict.fromkeys(computers, 1)
    await outcomes_of(runner_of(client, journal=journal, workspaces=3), items(40))
    assert set(busy.most) == computers
    assert len(computers) == 3


async def test_no_more_agent_computers_are_created_than_needed(emulator: Emulator, client: AsyncRebyte) -> None:
    """Two items create at most two of ten agent computers."""
    assert len(await outcomes_of(runner_of(client, workspaces=10), items(2))) == 2
    assert len(emulator.log.select("POST", "/agent-computers")) <= 2


async def test_given_agent_computers_are_used(emulator: Emulator, client: AsyncRebyte) -> None:
    """Where ids are given, no agent computer is created."""
    busy = Busy(emulator)
    given = [(await client.agent_computers.create()).id for _ in range(2)]
    await outcomes_of(runner_of(client, workspaces=given), items(8))
    assert busy.most == dict.fromkeys(given, 1)
    assert len(emulator.log.select("POST", "/agent-computers")) == 2


async def test_an_item_with_its_own_workspace_id_is_refused(client: AsyncRebyte) -> None:
    """An item can't name an agent computer when the batch has its own."""
    with pytest.raises(errors.BatchError, match="'k' has its own workspace_id, and the batch has workspaces"):
        await outcomes_of(runner_of(client, workspaces=2), [BatchItem("k", "Do it", workspace_id="w")])


@pytest.mark.parametrize("fault", [Drop("after"), Drop("before"), Status(500, when="after")])
async def test_an_agent_computer_is_created_once(emulator: Emulator, client: AsyncRebyte, fault: Any) -> None:
    """An agent computer whose create was ambiguous is found by its name."""
    emulator.faults.add(fault, MAKE, times=1)
    found = await outcomes_of(runner_of(client, workspaces=1), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len([computer async for computer in client.agent_computers.list()]) == 1


async def test_an_agent_computer_created_before_a_kill_is_found(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """An intent without a result in the journal leads to a search by name."""
    journal = tmp_path / "run.sqlite3"
    async with open_run_journal(journal, base_url=emulator.url) as opened:
        name = f"batch-{opened.batch_id[:8]}-0"
        await opened.record_agent_computer_intent(0, name, datetime.now(UTC).timestamp())
    made = await client.agent_computers.create(name)
    await outcomes_of(runner_of(client, journal=journal, workspaces=1), items(2))
    assert rows(journal, "slot, name, state, workspace_id", "workspaces") == [(0, name, "known", made.id)]
    assert len(emulator.log.select("POST", "/agent-computers")) == 1


async def test_a_batch_continues_without_failed_agent_computers(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """Items run on the other agent computers, and the batch ends when none is left."""
    emulator.provision(error="No capacity")
    journal = tmp_path / "run.sqlite3"
    for count in (4, 8):
        found = await outcomes_of(runner_of(client, journal=journal, workspaces=2), items(count))
        assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.log.select("POST", "/agent-computers")) == 2
    for _ in range(2):
        emulator.provision(error="No capacity")
    with pytest.raises(errors.BatchError, match="no agent computer to run on: none could be provisioned"):
        await outcomes_of(runner_of(client, workspaces=2), items(4))


async def test_a_deleted_agent_computer_is_replaced(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """An agent computer that was deleted after an earlier run is created again."""
    journal = tmp_path / "run.sqlite3"
    await outcomes_of(runner_of(client, journal=journal, workspaces=1), items(1))
    emulator.faults.add(Status(404), Match("GET", "/agent-computers/[^/]+"), times=1)
    async with client_of(emulator.url) as later:
        found = await outcomes_of(runner_of(later, journal=journal, workspaces=1), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(emulator.log.select("POST", "/agent-computers")) == 2


async def test_a_refused_agent_computer_ends_the_run(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """The run ends with the error, and no item is recorded as failed."""
    emulator.faults.add(Status(403, code="insufficient_scopes"), MAKE, times=None)
    journal = tmp_path / "run.sqlite3"
    with pytest.raises(errors.BatchError, match="can't create the batch's agent computers: InsufficientScopesError"):
        await outcomes_of(runner_of(client, journal=journal, workspaces=2), items(4))
    assert {state for _, state in rows(journal, "position, state")} == {"accepted"}


@pytest.mark.parametrize("status", [401, 500])
async def test_agent_computers_with_lost_tasks_get_no_other(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, status: int
) -> None:
    """An agent computer whose task can't be followed gets no item, and the run ends when none is left."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Status(status), Match("GET", "/tasks/.*"), times=None)
    runner = runner_of(client, journal=journal, workspaces=2, tuning={"outage_timeout": 0.1})
    with pytest.raises(errors.BatchError, match="InvalidAPIKeyError" if status == 401 else "can't be followed"):
        await outcomes_of(runner, items(6))
    assert creates(emulator) == 2
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal, workspaces=2), items(6))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 6


async def test_an_open_task_keeps_its_agent_computer(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """After a restart, no item is put on an agent computer whose task still runs."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), prompt="Do 0", times=None)
    run = runner_of(client, journal=journal, workspaces=2).run(items(4))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        await emulator.reached()
        await reading
    ((_, workspace_id, _),) = [
        row for row in rows(journal, "key, workspace_id, state") if row[2] == "running" and row[0] == "k0"
    ]
    busy = Busy(emulator)
    again = runner_of(client, journal=journal, workspaces=2).run(items(10))
    async with again:
        found = [await anext(again) for _ in range(9)]
        assert "k0" not in {outcome.key for outcome in found}
        assert workspace_id not in busy.most
        emulator.release()
        assert [outcome.key async for outcome in again] == ["k0"]
    assert creates(emulator) == 10


async def test_items_of_a_missing_agent_computer_run_elsewhere(emulator: Emulator, client: AsyncRebyte) -> None:
    """Items that met a missing agent computer run on another one; without another one the batch ends."""
    good = (await client.agent_computers.create()).id
    bad = "11111111-1111-4111-8111-111111111111"
    found = await outcomes_of(runner_of(client, workspaces=[good, bad]), items(8))
    assert {(outcome.status, outcome.attempts) for outcome in found.values()} == {("completed", 1)}
    assert creates(emulator) == 9
    with pytest.raises(errors.BatchError, match="no agent computer to run on: NotFoundError"):
        await outcomes_of(runner_of(client, workspaces=[bad]), items(3))


async def test_an_undecided_create_blocks_its_agent_computer(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """An undecided create may have started a task, so its agent computer gets no item in this run."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"), times=1)
    runner = runner_of(client, journal=journal, workspaces=1, on_ambiguous="report")
    with pytest.raises(
        errors.BatchError, match="no agent computer to run on: undecided creates may have started tasks on them"
    ):
        await outcomes_of(runner, items(3))
    assert creates(emulator) == 1
    assert sorted(row[1:] for row in rows(journal, "key, state, coalesce(status, '')")) == [
        ("accepted", ""),
        ("accepted", ""),
        ("ended", "ambiguous"),
    ]


async def test_fewer_agent_computers_than_wanted_suffice(emulator: Emulator, client: AsyncRebyte) -> None:
    """Where the organization's limit is two, the batch runs on two; where it is none, the batch ends."""
    emulator.faults.add(Status(400, code="limit_exceeded"), Match("POST", "/agent-computers", nth=3), times=1)
    found = await outcomes_of(runner_of(client, workspaces=3), items(8))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    emulator.faults.add(Status(400, code="limit_exceeded"), MAKE, times=None)
    with pytest.raises(errors.BatchError, match="no agent computer to run on: LimitExceededError"):
        await outcomes_of(runner_of(client, workspaces=3), items(8))


async def test_an_agent_computer_that_never_gets_ready_is_given_up() -> None:
    """It isn't waited for longer than the service's outages are, though each wait ends orderly."""
    now = 0.0

    async def wait_ready(workspace_id: str) -> None:
        nonlocal now
        now += 300
        assert now < 3600
        raise errors.WaitTimeoutError("it was provisioning", resource_id=workspace_id)

    async def agent_computers() -> list[Any]:
        return [SimpleNamespace(slot=0, workspace_id="w1")]

    context: Any = SimpleNamespace(
        new_outage=lambda: Outage(Time(clock=lambda: now), Tuning()),
        computers=SimpleNamespace(wait_ready=wait_ready),
        journal=SimpleNamespace(batch_id="b" * 8, store=SimpleNamespace(agent_computers=agent_computers)),
        stop=SimpleNamespace(check=lambda: None),
    )
    pool = AgentComputerPool(context, 1, before_create=agent_computers)
    await pool.open([], [])
    with pytest.raises(errors.BatchError, match="it was provisioning"):
        await pool.acquire()
    assert now == 900


@pytest.mark.parametrize("count", [0, -1, 10_001, 10**18])
async def test_an_absurd_number_of_agent_computers_is_refused(client: AsyncRebyte, count: int) -> None:
    """The error names the limit; a batch with more slots would take long to begin."""
    with pytest.raises(errors.ConfigurationError, match="from 1 to 10,000"):
        runner_of(client, workspaces=count)
