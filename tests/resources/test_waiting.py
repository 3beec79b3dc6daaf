"""Waiting until a task has ended: intervals, failures, unknown statuses, hints, and cancels that have no effect."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from attrs import define, field

from rebyte_async import errors
from rebyte_async.resources.waiting import CreationGrace, TaskPoller, cancel_until_terminal, wait_with_hints
from rebyte_async.types import Task
from support.clients import SkippedTime, client_of
from support.raw_server import RawServer, http_response
from support.task_server import CLOSE, TASK_ID, TaskServer, done, text


@define
class ScriptedTask:
    """Returns a task in the given statuses in order, then in the last one; a status that is an error is raised."""

    statuses: Sequence[str | Exception]
    reads: int = field(default=0, init=False)
    cancels: int = field(default=0, init=False)

    async def get(self, task_id: str = "t1") -> Task:
        """Read the task."""
        status = self.statuses[min(self.reads, len(self.statuses) - 1)]
        self.reads += 1
        if isinstance(status, Exception):
            raise status
        return Task(id=task_id, status=status)

    async def cancel(self, task_id: str) -> None:
        """Count a cancel."""
        assert task_id == "t1"
        self.cancels += 1


@define
class ScriptedHints:
    """Completion hints that the test gives."""

    number: int = field(default=0, init=False)
    asked: list[int] = field(factory=list[int], init=False)
    _given: asyncio.Event = field(factory=asyncio.Event, init=False)

    def give(self) -> None:
        """Give a hint."""
        self.number += 1
        self._given.set()

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for a newer hint than `after`."""
        assert task_id == "t1"
        self.asked.append(after)
        while self.number <= after:
            self._given.clear()
            await self._given.wait()
        return self.number


def poller(task: ScriptedTask, *, is_new: bool = False, clock: Callable[[], float] = time.monotonic) -> TaskPoller:
    """Make a poller of a scripted task."""
    grace = CreationGrace()
    if is_new:
        grace.start("t1")
    return TaskPoller("t1", task.get, grace, clock)


async def test_polling_reads_at_growing_intervals() -> None:
    """The intervals grow from half a second to 15 seconds."""
    task = ScriptedTask(["running"] * 15 + ["completed"])
    skipped = SkippedTime()
    await poller(task).poll(skipped.sleep)
    assert (skipped.slept[0], skipped.slept[1], max(skipped.slept)) == (0.5, 0.75, 15.0)
    assert len(skipped.slept) == 15


async def test_polling_tolerates_four_failures_in_a_row() -> None:
    """The fifth failure in a row is raised; a success in between starts the count again."""
    failures: list[str | Exception] = [errors.ConnectError("down")] * 4
    task = ScriptedTask([*failures, "running", *failures, "completed"])
    await poller(task).poll(SkippedTime().sleep)
    assert task.reads == 10
    failing = ScriptedTask([*failures, errors.DecodeError("no JSON")])
    with pytest.raises(errors.DecodeError):
        await poller(failing).poll(SkippedTime().sleep)


async def test_a_404_is_raised_unless_the_task_is_new() -> None:
    """The creation grace covers a 404."""
    statuses: list[str | Exception] = [errors.NotFoundError(404), "completed"]
    with pytest.raises(errors.NotFoundError):
        await poller(ScriptedTask(statuses)).poll(SkippedTime().sleep)
    new = poller(ScriptedTask(statuses), is_new=True)
    assert not await new.has_ended()
    assert not new.knows_state
    assert await new.has_ended()


def _unknown(status: str | None) -> dict[str, Any]:
    return {"status": status, "prompts": [{"id": "p1", "status": status}]}


@pytest.mark.parametrize("status", ["expired", "Paused", None])
@pytest.mark.parametrize(
    "connect",
    [[text(1, "x"), CLOSE], [done("succeeded", -1)], [http_response(403)], [text(1, "x"), done("succeeded", 1)]],
    ids=["closed", "empty", "refused", "done"],
)
async def test_an_unknown_status_that_stays_ends_a_wait(status: str | None, connect: list[Any]) -> None:
    """However the stream goes, a wait without a timeout ends with an error that names the task and its status."""
    task = TaskServer([connect], [_unknown(status)])
    skipped = SkippedTime()
    async with RawServer(task) as server, client_of(server.url, _time=skipped.time) as client:
        with pytest.raises(errors.StreamInterruptedError, match=status or "without a status|no prompt") as caught:
            await client.tasks.wait(TASK_ID)
    assert (caught.value.task_id, caught.value.last_status) == (TASK_ID, status)
    assert skipped.slept
    assert sum(skipped.slept) < 60


@pytest.mark.parametrize("word", ["Completed", "COMPLETED", "succeeded", "Cancelled", "FAILED"])
async def test_a_known_status_ends_a_wait_in_any_spelling(word: str) -> None:
    """Upper and lower case make no difference, in the done frame and in the task."""
    task = TaskServer([[text(1, "x"), done(word, 1, "x")]], [_unknown(word)])
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        assert (await client.tasks.wait(TASK_ID)).is_terminal


@pytest.mark.parametrize("status", ["queued", "processing", "blocked_user_answer_required"])
async def test_a_status_of_a_running_task_is_waited_out(status: str) -> None:
    """A task can wait for its turn, or for an answer, for as long as it takes."""
    task = ScriptedTask([status] * 100 + ["completed"])
    await poller(task).poll(SkippedTime().sleep)
    assert task.reads == 101


async def test_an_unknown_status_that_passes_is_waited_out() -> None:
    """Another status starts the patience anew."""
    task = ScriptedTask(["paused"] * 5 + ["expiring"] * 2 + ["running"] + ["paused"] * 2 + ["completed"])
    skipped = SkippedTime()
    await poller(task, clock=skipped.clock).poll(skipped.sleep)
    assert task.reads == 11


@pytest.mark.parametrize("poll_interval", [0.001, 60.0])
async def test_an_unknown_status_that_stays_ends_a_wait_for_hints(poll_interval: float) -> None:
    """Without hints, the task is read again soon, and given up after the patience."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 5
        return now

    with anyio.fail_after(5), pytest.raises(errors.StreamInterruptedError, match="'expired'"):
        await wait_with_hints(
            poller(ScriptedTask(["expired"]), clock=clock),
            ScriptedHints(),
            poll_interval=poll_interval,
            first_interval=0.001,
        )


async def test_a_timeout_names_the_last_status() -> None:
    """The error of a wait says what the task was when the time ran out."""
    with pytest.raises(errors.WaitTimeoutError, match=r"task t1 had not ended after 0 s$") as unread:
        await wait_with_hints(poller(ScriptedTask([errors.ConnectError("down")])), ScriptedHints(), timeout=0)
    assert unread.value.last_status is None
    with pytest.raises(errors.WaitTimeoutError, match="it was running"):
        await wait_with_hints(poller(ScriptedTask(["running"])), ScriptedHints(), timeout=0.01)


async def test_a_task_that_has_ended_needs_no_hint() -> None:
    """The first read ends the wait; a new task is not read before a hint."""
    task = ScriptedTask(["failed"])
    hints = ScriptedHints()
    assert (await wait_with_hints(poller(task), hints)).status == "failed"
    assert not hints.asked
    waiting = asyncio.create_task(wait_with_hints(poller(task), hints, read_first=False))
    await asyncio.sleep(0.01)
    assert task.reads == 1
    hints.give()
    await waiting
    assert task.reads == 2


async def test_an_unconfirmed_hint_has_the_task_read_soon_again() -> None:
    """A read may be older than the hint, so the next one follows after the first interval."""
    task = ScriptedTask(["running", "running", "running", "completed"])
    hints = ScriptedHints()
    hints.give()
    with anyio.fail_after(5):
        await wait_with_hints(poller(task), hints, poll_interval=math.inf, first_interval=0.001)
    assert hints.asked[0] == 0
    assert set(hints.asked[1:]) == {1}


async def test_a_failed_read_is_repeated_soon() -> None:
    """Without a hint, a read that failed is repeated after the first interval, not after the polling interval."""
    task = ScriptedTask([errors.ConnectError("down"), errors.ConnectError("down"), "completed"])
    with anyio.fail_after(5):
        await wait_with_hints(poller(task), ScriptedHints(), first_interval=0.001)
    assert task.reads == 3


@pytest.mark.parametrize("timeout", [-1, math.nan, "5", True])
async def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """Any other timeout is refused before the task is read."""
    task = ScriptedTask(["completed"])
    with pytest.raises(errors.InvalidRequestError, match="timeout must be a number of seconds"):
        await wait_with_hints(poller(task), ScriptedHints(), timeout=timeout)
    assert not task.reads


async def test_a_cancel_is_repeated_until_it_has_an_effect() -> None:
    """A cancel that overtakes its submit is lost, so the task is read after each one."""
    task = ScriptedTask(["running", "running", "canceled"])
    skipped = SkippedTime()
    assert (await cancel_until_terminal(task, "t1", sleep=skipped.sleep)).status == "canceled"
    assert (task.cancels, skipped.slept) == (3, [0.5, 0.5])


async def test_cancels_without_effect_are_given_up() -> None:
    """After five cancels, the task is returned as it is."""
    task = ScriptedTask(["running"])
    skipped = SkippedTime()
    assert (await cancel_until_terminal(task, "t1", sleep=skipped.sleep)).status == "running"
    assert (task.cancels, task.reads, skipped.slept) == (5, 6, [0.5] * 5)


def test_a_creation_grace_ends() -> None:
    """A creation is covered for fifteen seconds, and not remembered longer than needed."""
    now = 100.0
    grace = CreationGrace(lambda: now)
    grace.start("a")
    assert (grace.covers("a"), grace.covers("b"), grace.until("a"), grace.until("b")) == (True, False, 115.0, -math.inf)
    now = 115.0
    assert not grace.covers("a")
    now = 116.0
    grace.start("b")
    assert grace.until("a") == -math.inf
    for number in range(10_001):
        grace.start(str(number))
    assert (grace.covers("b"), grace.covers("0"), grace.covers("1")) == (False, False, True)
