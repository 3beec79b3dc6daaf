"""A batch that is killed repeatedly makes each task once.

`REBYTE_KILLS=200` sets how often it is killed, and `REBYTE_KILL_SEED=7` the seed of all that is random.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, evolve, field

from rebyte_async.emulator import Cut, Drop, EmptyDone, Emulator, HtmlPage, Match, Status, Turn, pause, succeed, text
from support.batch_child import Job, items_of, run
from support.systems import FORKS

KILLS = int(os.environ.get("REBYTE_KILLS", "15"))
SEED = int(os.environ.get("REBYTE_KILL_SEED", "1"))
PAIRS = 12
CREATE = Match("POST", "/tasks")

pytestmark = pytest.mark.timeout(60 + 5 * KILLS)


@define(eq=False)
class KillAtCreate:
    """Kills the client at an exact instant of a create: when it is read, recorded, or has its response."""

    when: str = "recorded"
    left: int = 0
    """At which of the next creates it kills; 0 when it isn't armed."""
    victim: BaseProcess | None = None

    def arm(self, victim: BaseProcess, when: str, after: int) -> None:
        """Kill a process at one of its next creates."""
        self.victim = victim
        self.when = when
        self.left = after

    async def around(self, exchange: Any, respond: Callable[[], Any]) -> Any:
        """Respond, and kill on the way."""
        if exchange.request.method != "POST" or exchange.path != "/tasks" or self.left == 0:
            return await respond()
        self.left -= 1
        if self.left:
            return await respond()
        await exchange.body.read()
        if self.when == "read":
            self._kill()
            await asyncio.sleep(0.12)  # the service takes its time over a request whose sender is dead
            return await respond()
        response = await respond()
        if self.when == "responded":
            asyncio.get_running_loop().call_later(0.002, self._kill)
        else:
            self._kill()
        return response

    def _kill(self) -> None:
        if self.victim is not None and self.victim.is_alive():
            self.victim.kill()


def respond(turn: Turn) -> Any:
    """A turn whose final result names its task."""
    return [text("I am at it."), pause(0.02), succeed(f"{turn.task_id} did: {turn.prompt}")]


@pytest.fixture
def killer() -> KillAtCreate:
    """The fault that kills at creates."""
    return KillAtCreate()


@pytest.fixture
def emulator(killer: KillAtCreate) -> Iterator[Emulator]:
    """A service with many faults, in a thread."""
    with Emulator(pace=0.002, seed=SEED) as started:
        started.script(respond, times=None)
        for fault, match in (
            (killer, CREATE),
            (Drop("after"), Match("POST", "/tasks", probability=0.05)),
            (Drop("before"), Match("POST", "/tasks", probability=0.02)),
            (Status(500, when="after"), Match("POST", "/tasks", probability=0.03)),
            (Status(500), Match("POST", "/tasks", probability=0.02)),
            (HtmlPage(502), Match("GET", probability=0.04)),
            (Drop("after"), Match("GET", probability=0.02)),
            (Cut(events=1), Match("GET", "/tasks/[^/]+/events", probability=0.05)),
            (EmptyDone(), Match("GET", "/tasks/[^/]+/events", probability=0.01)),
        ):
            started.faults.add(fault, match, times=None)
        yield started
        started.check()


@define(eq=False)
class Trial:
    """One batch, run until it has ended."""

    emulator: Emulator
    killer: KillAtCreate
    random: Random
    job: Job
    processes: Any = field(factory=lambda: multiprocessing.get_context("forkserver"))

    def attempt(self, *, kill: bool) -> str | None:
        """Run the batch once, and return how it was killed, if it was before its end."""
        how = self.random.choice(("read", "recorded", "responded", "statement", "time")) if kill else None
        job = evolve(self.job, statement=self.random.randrange(1, 150) if how == "statement" else None)
        process = self.processes.Process(target=run, args=(job,))
        process.start()
        if how in {"read", "recorded", "responded"}:
            self.killer.arm(process, how, self.random.randrange(1, 12))
        if how == "time":
            time.sleep(self.random.uniform(0.02, 1.0))
            process.kill()
        process.join()
        self.killer.left = 0
        code = process.exitcode
        process.close()
        assert code in (0, -9), code  # SIGKILL
        return how if code else None

    def check(self) -> None:
        """Check that each item has made one task, and has one right outcome in all runs that gave one."""
        items = {item.key: item for item in items_of(self.job)}
        given: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in Path(self.job.outcomes).read_text(encoding="utf-8").splitlines():
            outcome = json.loads(line)
            given[outcome["key"]].append(outcome)
        assert given.keys() == items.keys()
        made = {task.id: task for task in self.emulator.tasks if task.prompts[0].startswith(f"{self.job.batch}:")}
        others = [one for several in given.values() for one in several if one["status"] != "completed"]
        assert len(made) == len(items), others[:3]
        assert Counter(task.prompts[0] for task in made.values()) == Counter(item.prompt for item in items.values())
        bodies = [record.json() for record in self.emulator.log.select("POST", "/tasks") if record.body]
        asked = Counter(body["model"] for body in bodies if "model" in body)
        assert {item.model for item in items.values() if item.model} <= asked.keys()
        for key, outcomes in given.items():
            (only,) = {json.dumps(outcome, sort_keys=True) for outcome in outcomes}
            outcome = json.loads(only)
            assert outcome["status"] == "completed", outcome
            assert outcome["final_result"] == f"{outcome['task_id']} did: {items[key].prompt}"
            assert self._model_of(outcome["task_id"]) == items[key].model
        assert {outcomes[0]["task_id"] for outcomes in given.values()} == made.keys()

    def _model_of(self, task_id: str) -> str | None:
        return self.emulator._state.tasks[task_id].model


@FORKS
def test_killed_batches_make_each_task_once(emulator: Emulator, killer: KillAtCreate, tmp_path: Path) -> None:
    """Killed at random and at the worst instants, with a service that fails, no task is lost, doubled or shared."""
    random = Random(SEED)
    multiprocessing.set_forkserver_preload(["support.batch_child"])
    kills: Counter[str] = Counter()
    number = 0
    while kills.total() < KILLS:
        number += 1
        job = Job(
            url=emulator.url,
            key=emulator.api_key,
            journal=str(tmp_path / f"{number}.sqlite3"),
            outcomes=str(tmp_path / f"{number}.jsonl"),
            batch=f"batch {number}",
            pairs=PAIRS,
            adjacent=number % 2 == 0,
        )
        trial = Trial(emulator, killer, random, job)
        while (how := trial.attempt(kill=kills.total() < KILLS)) is not None:
            kills[how] += 1
        trial.check()
    sys.stdout.write(f"{kills.total()} kills in {number} batches: {dict(kills)}\n")
    assert kills.total() >= KILLS
