"""Batches on a Ray cluster of this machine, with two workers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rebyte_async.batch import BatchItem, BatchOutcome, PostgresJournal, read_journal
from rebyte_async.batch.ray import ClientSettings, RayBatch, dataset_from_outcomes
from rebyte_async.emulator import Emulator
from rebyte_async.errors import BatchError, ConfigurationError
from support.batches import QUICK_TUNING, creates, items
from support.clients import KEY
from support.postgres import Postgres, psql

ray = pytest.importorskip("ray", reason="Ray has no wheel for this Python or system")
pytest.importorskip("ray.data", reason="what Ray's datasets need isn't installed")

from support.ray_cluster import RayCluster  # noqa: E402 - it needs Ray

# The first test starts the cluster, which takes a busy machine a minute.
pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(240)]

PAGE = Path(__file__).parent.parent.parent / "docs/batch-many.md"
# Ray's datasets warn of their own settings, and old versions drop their logs without closing them.
QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:unclosed file:ResourceWarning")
ALONE: dict[str, Any] = {"actor_options": {"num_cpus": 0, "resources": {"place": 1}}}
"""There is a place for one actor."""
MAKING = "SELECT pid FROM rebyte_async.runs WHERE made > 0 AND ended_at IS NULL"
QUICK_WORKER = evolve(QUICK_TUNING, send_timeout=0.5, claim_interval=0.05, outage_timeout=0.5)


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """A cluster for all tests of the session."""
    started = RayCluster()
    yield started
    started.close()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator whose tasks take half a second."""
    async with Emulator(pace=0.1) as started:
        started.add_key(KEY)
        yield started
        started.check()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file on the workers' machine that has the key."""
    path = tmp_path / "key"
    path.write_text(KEY)
    return path


def batch_of(given: list[BatchItem], journal: PostgresJournal, url: str, key_file: Path, **options: Any) -> RayBatch:
    """A batch whose two workers hardly wait, and which leaves the machine's CPUs to others."""
    client = ClientSettings(base_url=url, api_key=key_file.read_text)
    options = {"reconcile_settle": 0.05, "concurrency": 4, "workers": 2, "actor_options": {"num_cpus": 0}, **options}
    return RayBatch(given, journal=journal, client=client, _tuning=QUICK_WORKER, **options)


def twins(count: int) -> list[BatchItem]:
    """Items of which two each have one prompt."""
    return [item for one in items(count) for item in (one, evolve(one, key=f"twin-{one.key}"))]


async def query(journal: PostgresJournal, statement: str) -> list[Any]:
    return await asyncio.to_thread(psql, journal.dsn, statement)


async def test_a_batch_ends_with_an_outcome_for_each_item_and_no_trace_of_the_key(
    cluster: RayCluster, emulator: Emulator, postgres: Postgres, key_file: Path
) -> None:
    """Each prompt comes twice and is made twice; Ray's logs and its servers' memory have all but the key."""
    journal = postgres.make_journal("marked-batch")
    given = [evolve(item, metadata={"row": number}) for number, item in enumerate(twins(15))]
    async with batch_of(given, journal, emulator.url, key_file) as batch:
        found = [outcome async for outcome in batch]
        progress = batch.progress
        if sys.platform == "linux":
            assert "gcs_server" in cluster.servers_with(b"marked-batch")
            assert cluster.servers_with(KEY.encode()) == set()
        assert cluster.files_with(b"WorkerActor") != []
        assert cluster.files_with(KEY.encode()) == []
    assert {outcome.key: outcome.metadata for outcome in found} == {item.key: item.metadata for item in given}
    assert len(found) == len({outcome.task_id for outcome in found}) == creates(emulator) == 30
    assert {outcome.status for outcome in found} == {"completed"}
    assert (progress.total, progress.done, progress.created, progress.eta) == (30, 30, 30, progress.elapsed * 0)
    emulator.log.clear()
    again = batch_of(given, journal, emulator.url, key_file)
    assert Counter(outcome.key for outcome in found) == Counter([outcome.key async for outcome in again])
    assert (again.progress.resumed, len(emulator.log)) == (30, 0)


async def test_workers_that_are_killed_are_continued(emulator: Emulator, postgres: Postgres, key_file: Path) -> None:
    """Whether Ray or the system ends its process, nothing is lost and nothing is made or given twice."""
    journal = postgres.make_journal()
    given = twins(30)
    found: list[BatchOutcome] = []
    async with batch_of(given, journal, emulator.url, key_file) as batch:
        async for outcome in batch:
            found.append(outcome)
            if len(found) == 2:
                (pid,), *_ = await query(journal, MAKING)
                os.kill(pid, signal.Signals["SIGKILL"])
            if len(found) == 20:
                ray.kill(batch._process._started[0].handle, no_restart=False)  # type: ignore[union-attr]
    assert sorted(outcome.key for outcome in found) == sorted(item.key for item in given)
    assert Counter(outcome.status for outcome in found) == {"completed": 60}
    assert len({outcome.task_id for outcome in found}) == 60
    assert creates(emulator) == 60
    assert len(await query(journal, "SELECT * FROM rebyte_async.runs WHERE made > 0")) > 2


async def test_leaving_early_gives_everything_back(emulator: Emulator, postgres: Postgres, key_file: Path) -> None:
    """Leaving the context ends the actors in order: their runs are closed, and no session is left.

    The next run has a limit, and an actor that finds no place.
    """
    journal = postgres.make_journal()
    async with batch_of(twins(100), journal, emulator.url, key_file) as batch:
        async for _ in batch:
            if all(worker.has_reported for worker in batch._process._started):  # type: ignore[union-attr]
                break
    handles = [worker.handle for worker in batch._process._started]  # type: ignore[union-attr]
    for handle in handles:
        with pytest.raises(ray.exceptions.ActorDiedError):
            await handle.report.remote(0.0)
    assert await query(journal, "SELECT * FROM rebyte_async.runs WHERE ended_at IS NULL AND host IS NOT NULL") == []
    with read_journal(journal) as reader:
        run = reader.last_run()
    assert run is not None
    assert run.workers == 0
    made = creates(emulator)
    async with batch_of([], journal, emulator.url, key_file, max_new_tasks=made, **ALONE) as batch:
        statuses = Counter([outcome.status async for outcome in batch])
    assert statuses == {"completed": made, "skipped": 200 - made}
    assert creates(emulator) == made


async def test_a_batch_without_a_place_can_be_left(emulator: Emulator, postgres: Postgres, key_file: Path) -> None:
    """Actors that Ray has not started are not waited for."""
    options: dict[str, Any] = {"actor_options": {"num_cpus": 0, "resources": {"nowhere": 1}}}
    async with batch_of(items(3), postgres.make_journal(), emulator.url, key_file, **options) as batch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(batch), 0.3)
    assert batch.progress.done == creates(emulator) == 0


async def test_what_cannot_be_loaded_or_started_ends_the_batch(
    emulator: Emulator, postgres: Postgres, key_file: Path
) -> None:
    """Two items with one key, and an option that Ray doesn't have."""
    journal = postgres.make_journal()
    with pytest.raises(BatchError, match="'k0'"):
        await anext(batch_of([*items(1), *items(1, "Do more")], journal, emulator.url, key_file))
    with pytest.raises(ConfigurationError, match=r"actor_options: .*nonsense"):
        await anext(batch_of(items(1), journal, emulator.url, key_file, actor_options={"nonsense": 1}))


async def test_what_ends_all_workers_ends_the_batch(emulator: Emulator, postgres: Postgres, key_file: Path) -> None:
    """A refused key is an error of this package, which pickles and doesn't show the key."""
    journal = postgres.make_journal()
    key_file.write_text("rbk_wrong_0123456789")
    with pytest.raises(BatchError, match="InvalidAPIKeyError") as caught:
        async for outcome in batch_of(items(3), journal, emulator.url, key_file, workers=1):
            assert outcome.status == "error"
    assert "rbk_wrong" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@QUIET
async def test_a_dataset_is_run_as_the_documentation_says(
    emulator: Emulator, postgres: Postgres, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example runs: a row's columns are in its prompt, its key and its metadata, and then in the outcome's row."""
    page = PAGE.read_text(encoding="utf-8")
    (source,) = (part for part in page.split("```") if "async def classify" in part)
    source = source.removeprefix("python").replace("answers.show()", "return answers").replace("-> None", "-> object")
    source = source.replace("/run/secrets/rebyte", str(key_file))
    source = source.replace("(api_key=", f"(base_url={emulator.url!r}, api_key=")
    monkeypatch.setenv("DATABASE_URL", postgres.make_database())
    namespace: dict[str, Any] = {"os": os, "PostgresJournal": PostgresJournal}
    exec(source, namespace)
    dataset = await namespace["classify"]()
    rows = await asyncio.to_thread(dataset.take_all)
    assert {row["key"]: row["text"] for row in rows} == {"1": "It rains in.", "2": "Thank you!"}
    assert {row["status"] for row in rows} == {"completed"}
    prompts = {json.loads(request.body)["prompt"] for request in emulator.log if request.method == "POST"}
    assert prompts == {"Classify this ticket: It rains in.", "Classify this ticket: Thank you!"}


@QUIET
async def test_outcomes_become_a_dataset() -> None:
    """Names of the metadata are columns, beside those of the outcome, each with values of one type."""
    outcomes = [
        BatchOutcome(key=str(number), status="completed", metadata={"tags": tags, "score": number / 2, "key": "own"})
        for number, tags in enumerate([["a"], "b", None])
    ]
    dataset = await dataset_from_outcomes(outcomes)
    rows = await asyncio.to_thread(dataset.take_all)
    found = [(row["key"], row["tags"], row["score"], row["metadata.key"], row["ended_at"]) for row in rows]
    assert found == [("0", '["a"]', 0.0, "own", None), ("1", "b", 0.5, "own", None), ("2", None, 1.0, "own", None)]
