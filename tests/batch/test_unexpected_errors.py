"""Unexpected errors: each ends the run, leaves nothing open, and makes no task twice."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import define, field

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem, Journal
from rebyte_async.batch.journal.writer import Writer
from rebyte_async.emulator import Delay, Drop, Emulator, Match, Rewrite, Status, hold
from rebyte_async.emulator import text as says
from support.batches import creates, items, keys_into, outcomes_of, rows, runner_of, supplied, texts
from support.clients import client_of

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


@define
class Trap:
    """A middleware of an application's session that fails at a given request."""

    error: BaseException
    method: str
    path: str
    when: str
    at: int = 1
    """At which such request."""
    met: int = field(default=0, init=False)

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """Fail before the request is sent, or after its response has come."""
        if request.method != self.method or not re.search(f"{self.path}$", request.url.path):
            return await handler(request)
        self.met += 1
        if self.met != self.at:
            return await handler(request)
        if self.when == "after":
            await handler(request)
        raise self.error


@asynccontextmanager
async def _trapped(emulator: Emulator, trap: Trap) -> AsyncGenerator[AsyncRebyte]:
    async with aiohttp.ClientSession(middlewares=(trap,)) as session, client_of(emulator.url, session=session) as made:
        yield made


async def _find_leftovers() -> list[str]:
    """The tasks and threads of batches that still exist, after the threads had a moment to end."""
    threads = [thread for thread in threading.enumerate() if "batch" in thread.name]
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
    tasks = [task.get_name() for task in asyncio.all_tasks() if "batch" in task.get_name()]
    return tasks + [thread.name for thread in threads if thread.is_alive()]


async def _run_until_error(client: AsyncRebyte, journal: Path, given: Any, **options: Any) -> BaseException:
    """The error that ends a run."""
    raised: BaseException | None = None
    try:
        async with asyncio.timeout(10):
            await outcomes_of(runner_of(client, journal=journal, **options), given)
    except BaseException as error:  # noqa: BLE001 - whatever it is
        raised = error
    assert not isinstance(raised, TimeoutError), "the run hangs"
    assert raised is not None
    assert await _find_leftovers() == []
    return raised


CREATE = ("POST", "/tasks")
EVENTS = ("GET", "/tasks/[^/]+/events")
READ = ("GET", "/tasks/[^/]+")
CONTENT = ("GET", "/tasks/[^/]+/content")
LIST = ("GET", "/tasks")


@pytest.mark.parametrize("error", [TypeError("no such thing"), AttributeError("none"), asyncio.CancelledError()])
@pytest.mark.parametrize(
    ("call", "when", "at", "options"),
    [
        (LIST, "before", 1, {}),
        (CREATE, "before", 1, {}),
        (CREATE, "after", 1, {}),
        (CREATE, "before", 5, {}),
        (CREATE, "after", 5, {}),
        (CREATE, "after", 2, {"workspaces": 2}),
        (EVENTS, "before", 2, {}),
        (READ, "after", 2, {"max_streams": 0}),
        (LIST, "after", 2, {}),
        (CONTENT, "after", 1, {}),
    ],
)
async def test_an_error_of_the_session_ends_the_run(
    emulator: Emulator,
    client: AsyncRebyte,
    tmp_path: Path,
    error: BaseException,
    call: tuple[str, str],
    when: str,
    at: int,
    options: dict[str, Any],
) -> None:
    """An unexpected error in a create, a wait or a search ends the run, and the next run continues it."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Drop("after"), Match("POST", "/tasks", nth=3), times=1)
    trap = Trap(error, *call, when, at)
    async with _trapped(emulator, trap) as trapped:
        raised = await _run_until_error(trapped, journal, items(12), concurrency=3, **options)
        assert trapped.stats().open_streams == 0
    assert trap.met >= at
    if isinstance(error, asyncio.CancelledError):
        assert isinstance(raised, errors.BatchError)
        assert "was cancelled" in str(raised)
    else:
        assert raised is error
    assert {status for _, status in rows(journal, "key, status")} <= {None, "completed"}
    found = await outcomes_of(runner_of(client, journal=journal, **options), items(12))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 12}
    assert texts(emulator) == sorted(f"Do {number}" for number in range(12)), "each once"


class Interrupted(BaseException):
    """An error that is no Exception, such as the outcomes of test frameworks."""


@pytest.mark.parametrize("kind", ["list", "generator", "async"])
async def test_a_base_exception_of_the_iterable_ends_the_run(client: AsyncRebyte, tmp_path: Path, kind: str) -> None:
    """An error that is no Exception is raised after the outcomes, like any other error of the iterable."""
    error = Interrupted("stop")

    def supply() -> Iterator[BatchItem]:
        yield from items(3)
        raise error

    given = supplied(kind, supply)
    seen: list[str] = []
    with pytest.raises(Interrupted) as caught:
        async with asyncio.timeout(10):
            await keys_into(seen, runner_of(client, journal=tmp_path / "run.sqlite3").run(given))
    assert caught.value is error
    assert sorted(seen) == ["k0", "k1", "k2"]
    assert await _find_leftovers() == []


@define
class BrokenHints:
    """A receiver of the application's own that fails."""

    error: BaseException

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Fail."""
        if task_id:
            raise self.error
        return after


@pytest.mark.parametrize("error", [TypeError("no such thing"), Interrupted(), asyncio.CancelledError()])
async def test_an_error_of_the_receiver_ends_the_run(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path, error: BaseException
) -> None:
    """The next run waits for the tasks that the receiver was asked about."""
    journal = tmp_path / "run.sqlite3"
    emulator.script(says("a"), hold(), says("b"), times=None)
    raised = await _run_until_error(client, journal, items(9), concurrency=3, receiver=BrokenHints(error))
    assert raised is error or str(raised) == "something that the batch awaits was cancelled"
    emulator.release()
    found = await outcomes_of(runner_of(client, journal=journal, concurrency=9), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert len(texts(emulator)) == len(set(texts(emulator)))


async def test_an_error_of_a_file_is_the_outcome_of_its_item(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """An error that an item's upload source raises is the outcome of that item, and the others run."""

    async def data() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError("no more of it")

    given = [*items(2), BatchItem("bad", "Do it", files=[("a.txt", data())]), BatchItem("k9", "Do 9")]
    found = await outcomes_of(runner_of(client, journal=tmp_path / "run.sqlite3"), given)
    assert {key: outcome.status for key, outcome in found.items() if key != "bad"} == dict.fromkeys(
        ["k0", "k1", "k9"], "completed"
    )
    assert found["bad"].status == "error"
    assert "no more of it" in (found["bad"].error or "")
    assert creates(emulator) == 3


async def test_a_create_that_fails_while_the_run_ends_keeps_nothing_open(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """If a create fails unexpectedly after the reader left, the journal is closed, and the next run finds the task."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Delay(0.3, "after"), Match("POST", "/tasks"), times=1)
    async with _trapped(emulator, Trap(TypeError("no such thing"), *CREATE, "after")) as trapped:
        run = runner_of(trapped, journal=journal).run(items(1))
        reading = asyncio.ensure_future(anext(run))
        while not emulator.tasks:
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading], timeout=5)
        with pytest.raises(TypeError, match="no such thing"):
            await anext(run)
    assert await _find_leftovers() == []
    found = await outcomes_of(runner_of(client, journal=journal), items(1))
    assert [outcome.status for outcome in found.values()] == ["completed"]
    assert creates(emulator) == 1


async def test_an_error_in_the_readers_code_ends_the_run(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """The reader's own error is raised unchanged, and the next run continues."""
    journal = tmp_path / "run.sqlite3"
    with pytest.raises(LookupError, match="my own"):
        async with asyncio.timeout(10), runner_of(client, journal=journal, concurrency=2).run(items(50)) as run:
            async for _ in run:
                raise LookupError("my own")
    assert await _find_leftovers() == []
    await outcomes_of(runner_of(client, journal=journal), items(50))
    assert texts(emulator) == sorted(f"Do {number}" for number in range(50)), "each once"


async def test_a_key_that_is_refused_in_a_search_ends_the_run(
    emulator: Emulator, client: AsyncRebyte, tmp_path: Path
) -> None:
    """If one of several parallel reads is refused, the next run raises that error, not a group of errors."""
    journal = tmp_path / "run.sqlite3"
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"), times=3)
    run = runner_of(client, journal=journal, reconcile_settle=30, concurrency=3).run(items(3))
    async with run:
        reading = asyncio.ensure_future(anext(run))
        while len(emulator.tasks) < 3:
            await asyncio.sleep(0.01)
        reading.cancel()
    emulator.faults.add(Status(401), Match("GET", "/tasks/[^/]+/content"), times=None)
    raised = await _run_until_error(client, journal, items(3))
    assert isinstance(raised, errors.BatchError)
    assert "can't find out which tasks the last run's creates made: InvalidAPIKeyError" in str(raised)
    emulator.faults.clear()
    found = await outcomes_of(runner_of(client, journal=journal), items(3))
    assert {outcome.status for outcome in found.values()} == {"completed"}
    assert creates(emulator) == 3


async def test_a_task_returned_twice_is_ambiguous(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """If the service returns one task for two creates, one item has it, and the other's create is undecided."""
    ids: list[str] = []

    def with_the_first_id(task: Any) -> Any:
        ids.append(task["id"])
        return {**task, "id": ids[0]}

    emulator.faults.add(Rewrite(with_the_first_id), Match("POST", "/tasks"), times=2)
    found = await outcomes_of(runner_of(client, journal=tmp_path / "run.sqlite3", concurrency=1), items(3))
    assert {key: outcome.status for key, outcome in found.items()} == {
        "k0": "completed",
        "k1": "ambiguous",
        "k2": "completed",
    }
    assert f"the task {ids[0]}, which another item has" in (found["k1"].error or "")


_OPTIONS: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}


class _Database:
    """A database that is no journal, for a writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, jobs: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        with self.connection:
            return [job(self.connection) for job in jobs]

    def explain(self, error: BaseException) -> errors.JournalError | None:
        return errors.JournalError("the disk is full") if isinstance(error, sqlite3.Error) else None

    def close(self) -> None:
        self.connection.close()


@pytest.mark.parametrize("error", [TypeError("no such thing"), StopIteration(), SystemExit(3)])
async def test_a_failed_write_raises_and_the_others_are_written(tmp_path: Path, error: BaseException) -> None:
    """Whatever a write raises, its caller gets the error, and the writes queued beside it are committed."""
    writer = Writer("x", lambda: _Database(sqlite3.connect(tmp_path / "x", **_OPTIONS)))
    await writer.start()

    def fails(_: sqlite3.Connection) -> None:
        raise error

    async def result_of(write: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await write
        except BaseException as raised:  # noqa: BLE001 - in the loop's own task a SystemExit would end the test
            return raised

    writes: list[Coroutine[Any, Any, Any]] = [
        writer.write(lambda c: c.execute("CREATE TABLE a (b)")),
        writer.write(fails),
        writer.write(lambda c: c.execute("INSERT INTO a VALUES (1)")),
    ]
    async with asyncio.timeout(10):
        first, failed, last = await asyncio.gather(*map(result_of, writes))
        await writer.stop()
    assert failed is error or (isinstance(failed, RuntimeError) and failed.__cause__ is error)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    with closing(sqlite3.connect(tmp_path / "x")) as connection:
        assert connection.execute("SELECT b FROM a").fetchall() == [(1,)]
    assert await _find_leftovers() == []


@pytest.mark.parametrize("error", [TypeError("no such thing"), SystemExit(3)])
@pytest.mark.parametrize("where", ["open", "close"])
async def test_a_failing_thread_raises_to_its_caller(error: BaseException, where: str) -> None:
    """An error while the writer starts or stops is raised by `start` or `stop`."""

    class Failing(_Database):
        def close(self) -> None:
            super().close()
            raise error

    def opened() -> Failing:
        if where == "open":
            raise error
        return Failing(sqlite3.connect("", **_OPTIONS))

    writer = Writer("x", opened)
    async with asyncio.timeout(10):
        if where == "close":
            await writer.start()
        with pytest.raises(type(error)):
            await (writer.start() if where == "open" else writer.stop())
        if where == "open":
            await writer.stop()
    assert await _find_leftovers() == []
    with pytest.raises((errors.JournalError, type(error))):
        await writer.write(lambda c: c.execute("SELECT 1"))


async def test_without_a_thread_no_run_starts(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """When the system refuses a thread, its error is raised, no task is made, and the journal is free."""
    size = threading.stack_size()
    threading.stack_size(1 << 46)
    try:
        raised = await _run_until_error(client, tmp_path / "run.sqlite3", items(3))
    finally:
        threading.stack_size(size)
    assert isinstance(raised, RuntimeError)
    assert creates(emulator) == 0
    async with Journal(tmp_path / "run.sqlite3"):
        pass  # it can be opened: the run released it
