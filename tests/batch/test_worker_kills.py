"""Workers that are killed and halted, and whose database is killed and cut off, make each task of their batch once.

`REBYTE_KILLS=200` sets how many kills there are at least, and `REBYTE_KILL_SEED=7` the seed of all that is random.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
from attrs import define, field
from psycopg.conninfo import make_conninfo

from rebyte_async.batch import PostgresJournal, load_items
from rebyte_async.emulator import Cut, Drop, Emulator, HtmlPage, Match, Status, Turn, pause, succeed, text
from support.batch_child import Job, items_of
from support.cutting_proxy import CuttingProxy
from support.postgres import Postgres, psql
from support.worker_child import NO_JOURNAL, SESSION_TIMEOUT, WorkerJob, run

if sys.platform == "win32":
    pytest.skip("Windows has no signals that can be sent to any program", allow_module_level=True)

KILLS = int(os.environ.get("REBYTE_KILLS", "6"))
SEED = int(os.environ.get("REBYTE_KILL_SEED", "1"))
WORKERS = 4
PAIRS = 12
PATIENCE = 60.0
"""Seconds for the workers of a batch to end by themselves."""
KILLING = ("read", "recorded", "responded", "statement", "time")
DISTURBING = ("stop", "stop before a statement", "database", "cut")

pytestmark = pytest.mark.timeout(120 + 15 * KILLS)


@define(eq=False)
class KillAtCreate:
    """Kills the worker that sends a create, at an exact instant: when it is read, recorded, or has its response."""

    when: str = "recorded"
    left: int = 0
    """At which of the next creates it kills; 0 when it isn't armed."""
    workers: dict[str, BaseProcess] = field(factory=dict[str, BaseProcess])

    async def around(self, exchange: Any, respond: Callable[[], Any]) -> Any:
        """Respond, and kill on the way."""
        if exchange.request.method != "POST" or exchange.path != "/tasks" or self.left == 0:
            return await respond()
        self.left -= 1
        if self.left:
            return await respond()
        victim = self.workers[exchange.request.headers["X-Worker"]]
        await exchange.body.read()
        if self.when == "read":
            _kill(victim)
            await asyncio.sleep(0.12)  # the service takes its time over a request whose sender is dead
            return await respond()
        response = await respond()
        if self.when == "responded":
            asyncio.get_running_loop().call_later(0.002, _kill, victim)
        else:
            _kill(victim)
        return response


def _kill(process: BaseProcess, number: int = signal.SIGKILL) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, number)


def respond(turn: Turn) -> Any:
    """A turn whose final result names its task."""
    return [text("I am at it."), pause(0.05), succeed(f"{turn.task_id} did: {turn.prompt}")]


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
            (killer, Match("POST", "/tasks")),
            (Drop("after"), Match("POST", "/tasks", probability=0.04)),
            (Drop("before"), Match("POST", "/tasks", probability=0.02)),
            (Status(500, when="after"), Match("POST", "/tasks", probability=0.02)),
            (HtmlPage(502), Match("GET", probability=0.03)),
            (Cut(events=1), Match("GET", "/tasks/[^/]+/events", probability=0.05)),
        ):
            started.faults.add(fault, match, times=None)
        yield started
        started.check()


@define(eq=False)
class CutOff:
    """A proxy before the database, in a thread, that cuts all connections when asked to."""

    socket: str
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop, init=False)
    _proxy: CuttingProxy = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._proxy = CuttingProxy(self.socket)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._proxy.url.rpartition(":")[2])

    def cut(self) -> None:
        """Reset all connections."""
        self._loop.call_soon_threadsafe(self._proxy.cut)


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[CutOff]:
    """The way of the workers to their database."""
    with CutOff(postgres.socket) as started:
        yield started


@define(eq=False)
class Trial:
    """One batch, worked on until it has ended."""

    emulator: Emulator
    killer: KillAtCreate
    postgres: Postgres
    proxy: CutOff
    random: Random
    job: Job
    journal: PostgresJournal
    workers: dict[int, BaseProcess] = field(factory=dict[int, BaseProcess], init=False)
    processes: Any = field(factory=lambda: multiprocessing.get_context("forkserver"))

    def start(self, number: int, **options: Any) -> None:
        """Start a worker, in the place of one that is dead."""
        dsn = make_conninfo(self.journal.dsn, host="127.0.0.1", port=self.proxy.port)
        job = WorkerJob(
            url=self.emulator.url,
            key=self.emulator.api_key,
            dsn=dsn,
            batch=self.job.batch,
            number=number,
            outcomes=self.job.outcomes,
            **options,
        )
        process = self.workers[number] = self.processes.Process(target=run, args=(job,))
        self.killer.workers[str(number)] = process
        process.start()

    def run(self, events: list[str]) -> Counter[str]:
        """Start all workers, have the events happen, and wait until the workers have ended; count the kills."""
        happened: Counter[str] = Counter()
        for number in range(WORKERS):
            event = events.pop() if events and "statement" in events[-1] else None
            if event is not None:
                self._prepare(number, event)
                happened[event] += 1
            else:
                self.start(number)
        for event in events:
            time.sleep(self.random.uniform(0.05, 0.8))
            self._cause(event)
            happened[event] += 1
            self._replace()
        deadline = time.monotonic() + PATIENCE
        while (alive := [worker for worker in self.workers.values() if worker.is_alive()]) or self._replace():
            for worker in alive:
                worker.join(0.1)
            self._resume()
            assert time.monotonic() < deadline, self._open_items()
        return happened

    def _prepare(self, number: int, event: str) -> None:
        """Start a worker that signals itself before one of its statements."""
        signalled = signal.SIGSTOP if event.startswith("stop") else signal.SIGKILL
        self.start(number, statement=self.random.randrange(20, 90), signal=signalled)

    def _cause(self, event: str) -> None:
        victim = self.workers[self.random.randrange(WORKERS)]
        match event:
            case "read" | "recorded" | "responded":
                self.killer.when, self.killer.left = event, self.random.randrange(1, 5)
            case "time" | "statement":
                _kill(victim)
            case "database":
                self.postgres.kill()
                time.sleep(self.random.uniform(0, 0.5))
                self.postgres.start()
            case "cut":
                self.proxy.cut()
            case _:
                _kill(victim, signal.SIGSTOP)
                time.sleep(SESSION_TIMEOUT + self.random.uniform(0.2, 1.5))
                _kill(victim, signal.SIGCONT)

    def _resume(self) -> None:
        """Continue a worker that has stopped itself, some time after the database has ended its session."""
        for worker in self.workers.values():
            stat = Path(f"/proc/{worker.pid}/stat")
            if worker.is_alive() and stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T":
                time.sleep(SESSION_TIMEOUT + 0.5)
                _kill(worker, signal.SIGCONT)

    def _replace(self) -> bool:
        """Start workers in the places of those that were killed or found no database; return whether any were."""
        dead = {-signal.SIGKILL, NO_JOURNAL}
        killed = [number for number, worker in self.workers.items() if worker.exitcode in dead]
        for number in killed:
            self.start(number)
        codes = {worker.exitcode for worker in self.workers.values()}
        assert codes <= {None, 0, -signal.SIGKILL, NO_JOURNAL}, codes
        return bool(killed)

    def _open_items(self) -> list[Any]:
        return psql(self.journal.dsn, "SELECT key, state, shard FROM rebyte_async.items WHERE state <> 'ended'")

    def check(self) -> None:
        """Check that each item has made one task, and that the journal and the workers say the same of it."""
        items = {item.key: item for item in items_of(self.job)}
        statement = "SELECT key, state, status, task_id, final_result, error FROM rebyte_async.items"
        rows = psql(self.journal.dsn, statement)
        assert {row[0] for row in rows} == items.keys()
        made = {task.id: task for task in self.emulator.tasks if task.prompts[0].startswith(f"{self.job.batch}:")}
        others = [row for row in rows if row[1:3] != ("ended", "completed")]
        assert others == []
        assert Counter(task.prompts[0] for task in made.values()) == Counter(item.prompt for item in items.values())
        assert {row[3] for row in rows} == made.keys()
        for key, _, _, task_id, final_result, _ in rows:
            assert final_result == f"{task_id} did: {items[key].prompt}"
            assert self.emulator._state.tasks[task_id].model == items[key].model
        tasks = {row[0]: row[3] for row in rows}
        for line in Path(self.job.outcomes).read_text(encoding="utf-8").splitlines():
            outcome = json.loads(line)
            assert (outcome["status"], outcome["task_id"]) == ("completed", tasks[outcome["key"]]), outcome
        counts = psql(self.journal.dsn, "SELECT sum(made), sum(open) FROM rebyte_async.runs")
        assert counts[0][1] == 0


def choose(random: Random, kills: int) -> list[str]:
    """Choose the events of a batch: most are kills."""
    events = [random.choice(KILLING) for _ in range(min(kills, random.randrange(2, 6)))]
    events += random.sample(DISTURBING, random.randrange(0, 3))
    random.shuffle(events)
    return events


@define(eq=False)
class Trials:
    """Makes trials, each of a batch of its own."""

    emulator: Emulator
    killer: KillAtCreate
    postgres: Postgres
    proxy: CutOff
    folder: Path
    random: Random = field(factory=lambda: Random(SEED))
    count: int = field(default=0, init=False)

    def run(self, events: list[str]) -> Counter[str]:
        """Run a batch while the events happen, and check what was made; return what happened."""
        self.count += 1
        batch = f"batch {self.count}"
        outcomes = self.folder / f"{self.count}.jsonl"
        outcomes.touch()
        adjacent = self.count % 2 == 0
        job = Job(url="", key="", journal="", outcomes=str(outcomes), batch=batch, pairs=PAIRS, adjacent=adjacent)
        journal = self.postgres.make_journal(batch, shards=self.random.choice((4, 16, 64)))
        asyncio.run(_load(job, journal))
        trial = Trial(self.emulator, self.killer, self.postgres, self.proxy, self.random, job, journal)
        try:
            happened = trial.run(events)
        finally:
            for worker in trial.workers.values():
                _kill(worker)
        self.killer.left = 0
        trial.check()
        return happened


async def _load(job: Job, journal: PostgresJournal) -> None:
    await load_items(items_of(job), journal)


@pytest.fixture
def trials(emulator: Emulator, killer: KillAtCreate, postgres: Postgres, proxy: CutOff, tmp_path: Path) -> Trials:
    """Trials with one service and one database."""
    multiprocessing.set_forkserver_preload(["support.worker_child"])
    return Trials(emulator, killer, postgres, proxy, tmp_path)


def test_killed_workers_make_each_task_once(trials: Trials) -> None:
    """Whatever is killed, halted or cut off, no task is lost, doubled, shared or left open."""
    happened: Counter[str] = Counter()
    while sum(happened[kind] for kind in KILLING) < KILLS:
        happened += trials.run(choose(trials.random, KILLS))
    sys.stdout.write(f"{trials.count} batches: {dict(happened)}\n")


@pytest.mark.parametrize("event", DISTURBING)
def test_disturbed_workers_make_each_task_once(trials: Trials, event: str) -> None:
    """A worker that is halted longer than its session lasts makes and writes nothing when it is continued.

    Neither does one whose session ends because its database is killed, or its connection cut.
    """
    assert trials.run([event]) == {event: 1}
