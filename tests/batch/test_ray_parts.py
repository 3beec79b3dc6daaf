"""What a batch on Ray consists of, in this process: the settings that travel, the actor, and the driver."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from rebyte_async.batch import BatchOutcome, BatchProgress, PostgresJournal, load_items, read_journal
from rebyte_async.batch.ray import ClientSettings, RayBatch, dataset_from_outcomes, datasets, items_from_dataset
from rebyte_async.batch.ray.actor import WorkerActor, WorkerReport
from rebyte_async.batch.ray.cluster import RemoteWorker
from rebyte_async.batch.ray.settings import WorkerPlan
from rebyte_async.emulator import Emulator, hold
from rebyte_async.emulator import text as says
from rebyte_async.errors import BatchError, ConfigurationError, InvalidRequestError, JournalError
from support.batches import QUICK_TUNING, creates, items
from support.clients import KEY, QUICK
from support.postgres import Postgres

TUNING = evolve(QUICK_TUNING, send_timeout=0.5, claim_interval=0.05, outage_timeout=0.2)
JOURNAL = PostgresJournal("postgresql://batches@db.example.com/batches", batch="nightly")


def get_key() -> str:
    """Return the key, as the function of an application would."""
    return KEY


def fail() -> str:
    """Fail with a secret in the message."""
    raise KeyError(KEY)


def settings_of(url: str, **options: Any) -> ClientSettings:
    return ClientSettings(base_url=url, api_key=get_key, retry=QUICK, **options)


def actor_of(journal: Any, client: ClientSettings, **options: Any) -> WorkerActor:
    """The actor that Ray would make."""
    options = {"reconcile_settle": 0.05, "_tuning": TUNING, **options}
    return WorkerActor(pickle.dumps(WorkerPlan(journal=journal, client=client, options=options)))


async def reports_of(actor: WorkerActor) -> WorkerReport:
    """All reports of an actor to its end, as one."""
    outcomes: list[BatchOutcome] = []
    while True:
        report = await actor.report(0.5)
        outcomes += report.outcomes
        if report.is_over:
            return evolve(report, outcomes=outcomes)


class TestClientSettings:
    """What may travel, and what may not."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"api_key": KEY}, "api_key must be a function"),
            ({"headers": {"X-Token": "secret"}}, "headers must be a function"),
            ({"base_url": "http://db.example.com/v1"}, "plain http"),
            ({"base_url": "https://user:secret@api.example.com/v1"}, "no user"),
        ],
    )
    def test_a_secret_is_refused(self, options: dict[str, Any], message: str) -> None:
        """A secret is given by a function, and no message shows it."""
        with pytest.raises(ConfigurationError, match=message) as caught:
            ClientSettings(**options)
        assert KEY not in str(caught.value)
        assert "secret" not in str(caught.value)

    @pytest.mark.usefixtures("client")
    async def test_what_a_function_returns_is_used(self, emulator: Emulator) -> None:
        """The key, the headers and the rest are those of the client, which is made where it is used."""
        settings = settings_of(emulator.url, headers=lambda: {"X-Team": "data"}, trust_env=True)
        async with settings.make_client() as client:
            await client.tasks.list()
        (request,) = emulator.log
        assert request.headers["X-Team"] == "data"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"api_key": fail}, "the function api_key failed on the worker's machine: KeyError"),
            ({"api_key": lambda: None}, "the function api_key returned no key"),
            ({"api_key": get_key, "headers": fail}, "the function headers failed on the worker's machine: KeyError"),
            ({"api_key": get_key, "ca_file": Path("missing.pem")}, "missing.pem"),
        ],
    )
    def test_a_function_that_fails_is_named(self, options: dict[str, Any], message: str) -> None:
        """Its error isn't quoted, since it may have the secret."""
        with pytest.raises(ConfigurationError, match=message) as caught:
            ClientSettings(**options).make_client()
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None or KEY not in repr(caught.value.__cause__)
        assert caught.value.__context__ is None or KEY not in repr(caught.value.__context__)


class TestPlan:
    """The one argument of an actor."""

    @pytest.fixture(autouse=True)
    def _ray(self) -> None:
        pytest.importorskip("ray", reason="Ray has no wheel for this Python or system")

    @pytest.mark.parametrize(
        ("journal", "client", "message"),
        [
            (JOURNAL, ClientSettings(api_key=partial(str, KEY)), "the key would be in Ray's object store"),
            (JOURNAL, ClientSettings(api_key=partial(str, "own-secret")), "the key would be in Ray's object store"),
            (PostgresJournal("postgresql://me:pw@db/batches", batch="b"), ClientSettings(), "dsn of the journal"),
            (PostgresJournal("host=db password=pw", batch="b"), ClientSettings(), "dsn of the journal"),
            (JOURNAL, ClientSettings(api_key=partial(str, threading.Lock())), "can't be sent"),
        ],
    )
    def test_a_plan_with_a_secret_is_not_sent(
        self, journal: PostgresJournal, client: ClientSettings, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a key of the usual form, nor that of the environment, nor a password."""
        monkeypatch.setenv("REBYTE_API_KEY", "own-secret")
        with pytest.raises(ConfigurationError, match=message):
            WorkerPlan(journal=journal, client=client, options={}).pack()

    def test_a_dsn_that_cannot_be_read_is_an_error_of_the_journal(self) -> None:
        """It may have a password, so it isn't shown."""
        journal = PostgresJournal("host=db passwrd=pw", batch="b")
        with pytest.raises(JournalError, match="can't be read") as caught:
            WorkerPlan(journal=journal, client=ClientSettings(), options={}).pack()
        assert "pw" not in str(caught.value)

    def test_a_plan_arrives_as_it_was_sent(self) -> None:
        """Its journal may be a function, which is called on each machine."""
        plan = WorkerPlan(journal=lambda: JOURNAL, client=ClientSettings(), options={"concurrency": 3})
        arrived = WorkerPlan.unpack(plan.pack())
        assert (arrived.find_journal(), arrived.options) == (JOURNAL, {"concurrency": 3})


def test_a_journal_in_a_file_is_refused() -> None:
    """The workers are on several machines."""
    with pytest.raises(ConfigurationError, match="journal must be a PostgresJournal, not str"):
        WorkerPlan(journal="run.sqlite3", client=ClientSettings(), options={}).find_journal()  # type: ignore[arg-type]


class TestActor:
    """The worker's side, in this process."""

    @pytest.mark.usefixtures("client")
    async def test_it_reports_what_has_ended(self, emulator: Emulator, postgres: Postgres) -> None:
        """Each outcome is in one report, and the last report says so."""
        journal = postgres.make_journal()
        await load_items(items(5), journal)
        report = await reports_of(actor_of(journal, settings_of(emulator.url)))
        assert sorted(outcome.key for outcome in report.outcomes) == [f"k{number}" for number in range(5)]
        assert (report.failure, report.progress.created, creates(emulator)) == (None, 5, 5)
        assert pickle.loads(pickle.dumps(report)).outcomes == report.outcomes

    @pytest.mark.parametrize(
        ("client", "journal", "kind", "message"),
        [
            (ClientSettings(api_key=fail), JOURNAL, ConfigurationError, "api_key failed"),
            (ClientSettings(api_key=get_key), pow, BatchError, "a worker failed: TypeError"),
            (ClientSettings(api_key=get_key), partial(str, "x"), ConfigurationError, "not str"),
        ],
    )
    async def test_it_reports_why_it_cannot_begin(
        self, client: ClientSettings, journal: Any, kind: type[BatchError], message: str
    ) -> None:
        """What the driver gets is always an error of this package."""
        report = await reports_of(actor_of(journal, client))
        assert type(report.failure) is kind
        assert message in str(report.failure)

    async def test_it_reports_that_its_plan_cannot_be_read(self) -> None:
        """A machine may lack a module."""
        report = await reports_of(WorkerActor(b"c__missing__\nname\n."))
        assert "lacks what its settings refer to: ModuleNotFoundError" in str(report.failure)

    async def test_where_nothing_listens_it_fails(self, postgres: Postgres, unused_port: int) -> None:
        """A wrong address is waited for, as an outage is, and then reported."""
        journal = postgres.make_journal()
        await load_items(items(1), journal)
        report = await reports_of(actor_of(journal, settings_of(f"http://127.0.0.1:{unused_port}/v1")))
        assert "ConnectError" in str(report.failure)

    @pytest.mark.usefixtures("client")
    async def test_it_ends_when_it_is_stopped(self, emulator: Emulator, postgres: Postgres) -> None:
        """It may have begun or not."""
        emulator.script(says("a"), hold(), times=None)
        journal = postgres.make_journal()
        await load_items(items(3), journal)
        actor = actor_of(journal, settings_of(emulator.url))
        await actor.stop()
        assert (await actor.report(0.0)).is_over is False
        while (await actor.report(0.05)).progress.running < 3:
            pass
        await actor.stop()
        assert (await actor.report(0.0)).is_over is True
        with read_journal(journal) as reader:
            run = reader.last_run()
        assert run is not None
        assert run.workers == 0


class Handle:
    """An actor whose calls end as a test says."""

    def __init__(self, *ends: Any) -> None:
        self._ends = list(ends)
        self.report = self

    async def remote(self, _: float) -> Any:
        """Call the actor; the last end is that of all later calls."""
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        if isinstance(end, Exception):
            raise end
        return end


class TestRemoteWorker:
    """What becomes of calls that Ray loses."""

    async def test_a_call_that_is_lost_is_made_again(self) -> None:
        """The process is started anew meanwhile."""
        errors = pytest.importorskip("ray").exceptions
        report = WorkerReport(outcomes=[], progress=BatchProgress(created=3))
        worker = RemoteWorker(
            1, Handle(errors.ActorUnavailableError("gone", None), errors.ObjectLostError("a", "b", "c"), report)
        )
        assert await worker.report() is report
        assert (worker.progress.created, worker.has_reported) == (3, True)

    async def test_an_actor_that_is_not_restarted_fails_its_worker(self) -> None:
        """So does one that can't be placed, or fails where no error was expected."""
        errors = pytest.importorskip("ray").exceptions
        for error, message in (
            (errors.ActorDiedError(), "worker 1 has died, and isn't restarted"),
            (errors.ActorUnschedulableError("no such resource"), "no such resource"),
            (errors.RayTaskError("report", "traceback", ValueError("odd")), "worker 1 has failed: ValueError: odd"),
        ):
            with pytest.raises(BatchError, match=message):
                await RemoteWorker(1, Handle(error)).report()

    async def test_an_actor_that_stays_unreachable_is_given_up(self) -> None:
        """No wait lasts forever."""
        errors = pytest.importorskip("ray").exceptions
        worker = RemoteWorker(1, Handle(errors.ActorUnavailableError("gone", None)), most_losses=3)
        with pytest.raises(BatchError, match="worker 1 can't be reached any more"):
            await worker.report()


class TestArguments:
    """What a batch is refused for, before anything is started."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"workers": 0}, "workers must be a whole number, at least 1"),
            ({"max_restarts": -2}, "max_restarts"),
            ({"concurrency": 0}, "concurrency"),
            ({"client": "rbk_0123"}, "client must be ClientSettings, not str"),
            ({"journal": "run.sqlite3"}, "journal must be a PostgresJournal"),
            ({"items": 3}, "items must be an iterable"),
        ],
    )
    def test_what_cannot_be_right_is_refused(self, options: dict[str, Any], message: str) -> None:
        """A key in the place of the settings isn't shown."""
        pytest.importorskip("ray", reason="Ray has no wheel for this Python or system")
        given: dict[str, Any] = {"items": [], "journal": JOURNAL, "workers": 1, **options}
        with pytest.raises((ConfigurationError, InvalidRequestError), match=message) as caught:
            RayBatch(**given)
        assert "rbk_0123" not in str(caught.value)

    def test_a_batch_needs_a_ray_that_was_started(self) -> None:
        """In a process of its own: another test may have started Ray in this one."""
        pytest.importorskip("ray", reason="Ray has no wheel for this Python or system")
        program = (
            "from rebyte_async.batch import PostgresJournal; from rebyte_async.batch.ray import RayBatch; "
            f"RayBatch([], journal=PostgresJournal({JOURNAL.dsn!r}, batch={JOURNAL.batch!r}), workers=1)"
        )
        finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert finished.returncode == 1
        assert "ConfigurationError: " in finished.stderr
        assert "call ray.init" in finished.stderr

    def test_a_batch_needs_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The module can be imported without Ray, and says what to install."""
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'rebyte-async\[ray\]'"):
            RayBatch([], journal=JOURNAL, workers=1)

    async def test_a_dataset_needs_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ray alone has no datasets."""
        pytest.importorskip("ray", reason="Ray has no wheel for this Python or system")
        monkeypatch.setitem(sys.modules, "ray.data", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'ray\[data\]'"):
            await dataset_from_outcomes([])


async def test_a_dataset_is_made_of_outcomes_alone() -> None:
    """Anything else is refused."""
    pytest.importorskip("ray.data", reason="Ray has no wheel for this Python or system")
    with pytest.raises(InvalidRequestError, match="outcomes must be BatchOutcomes, not BatchItem"):
        await dataset_from_outcomes(items(1))  # type: ignore[arg-type]


class Rows:
    """A dataset, as far as items are made of it."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    def iter_rows(self) -> Any:
        return iter(self._rows)


class Number:
    """A number of NumPy, as far as it is converted."""

    def __init__(self, value: float) -> None:
        self._value = value

    def tolist(self) -> float:
        return self._value


def test_values_of_a_dataset_become_plain_ones() -> None:
    """What NumPy and pandas have for numbers, arrays and missing values."""
    rows = Rows(
        {"id": Number(1), "text": "a", "score": math.nan}, {"id": Number(2), "text": math.nan, "score": Number(0.5)}
    )
    found = list(items_from_dataset(rows, prompt="{text}!", key="id"))
    assert [(item.key, item.prompt, item.metadata["score"]) for item in found] == [("1", "a!", None), ("2", "!", 0.5)]
    with pytest.raises(InvalidRequestError, match=r"dataset must be a ray.data.Dataset, not list"):
        items_from_dataset([], prompt="{text}", key="id")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None], ("int64", [1, None])),
        ([1, 0.5], ("float64", [1.0, 0.5])),
        ([True, None], ("bool", [True, None])),
        ([True, 1], ("string", ["true", "1"])),
        ([1 << 70, 1], ("string", [str(1 << 70), "1"])),
        (["a", {"b": 1}, None], ("string", ["a", '{"b": 1}', None])),
        ([None], ("string", [None])),
    ],
)
def test_a_column_of_metadata_has_one_type(values: list[Any], expected: tuple[str, list[Any]]) -> None:
    """It is that of all values, or texts."""
    columns: dict[str, set[str]] = {}
    for value in values:
        datasets._to_row(BatchOutcome(key="k", status="completed", metadata={"x": value}), columns)
    kind = datasets._choose_type(columns["x"])
    assert (kind, [datasets._to_cell(value, kind) for value in values]) == expected
