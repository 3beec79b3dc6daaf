"""The primitives for waiting."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from rebyte_async._sync import FairSemaphore, InterruptibleSleep, Signal, SingleFlight, await_shielded


def start(awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
    """Start a task that waits for something."""

    async def wait() -> Any:
        return await awaitable

    return asyncio.create_task(wait())


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_notify_wakes_everyone_who_waits() -> None:
    """One call wakes all waiters."""
    signal = Signal()
    waiters = [start(signal.wait()) for _ in range(3)]
    await settle()
    assert not any(waiter.done() for waiter in waiters)
    signal.notify()
    await settle()
    assert all(waiter.done() for waiter in waiters)


async def test_a_wait_ends_by_a_later_notify_alone() -> None:
    """A signal keeps no state: what was notified before the wait doesn't count."""
    signal = Signal()
    signal.notify()
    waiter = start(signal.wait())
    await settle()
    signal.notify()
    later = start(signal.wait())
    await settle()
    assert waiter.done()
    assert not later.done()
    later.cancel()


async def test_wait_for_asks_at_once_and_after_each_notify() -> None:
    """The predicate is true when the wait ends, whatever else was notified."""
    signal = Signal()
    values = [1]
    await signal.wait_for(lambda: values)
    waiter = start(signal.wait_for(lambda: len(values) > 2))
    for _ in range(2):
        await settle()
        assert not waiter.done()
        values.append(1)
        signal.notify()
    await settle()
    assert waiter.done()


async def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    """The waiters beside a cancelled one are woken as usual."""
    signal = Signal()
    one, other = start(signal.wait()), start(signal.wait())
    await settle()
    one.cancel()
    await settle()
    assert not other.done()
    signal.notify()
    await settle()
    assert other.done()


async def test_permits_are_given_in_order() -> None:
    """The waiters get permits in the order in which they came."""
    semaphore = FairSemaphore(2)
    started = list[int]()
    gates = [asyncio.Event() for _ in range(5)]

    async def work(number: int) -> None:
        await semaphore.acquire()
        started.append(number)
        await gates[number].wait()
        semaphore.release()

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
        await anyio.wait_all_tasks_blocked()
        assert started == [0, 1]
        for number, then in ((1, [0, 1, 2]), (0, [0, 1, 2, 3]), (3, [0, 1, 2, 3, 4])):
            gates[number].set()
            await anyio.wait_all_tasks_blocked()
            assert started == then
        gates[2].set()
        gates[4].set()


@pytest.mark.parametrize("handed_over", [False, True])
async def test_a_cancelled_wait_takes_no_permit(*, handed_over: bool) -> None:
    """A cancelled wait leaves its permit to the next waiter, even if the permit came in the same moment."""
    semaphore = FairSemaphore(1)
    await semaphore.acquire()
    first = asyncio.ensure_future(semaphore.acquire())
    second = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    if handed_over:
        semaphore.release()
        first.cancel()
    else:
        first.cancel()
        await asyncio.sleep(0)
        semaphore.release()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
    semaphore.release()
    await asyncio.wait_for(semaphore.acquire(), 5)
    assert not semaphore.try_acquire()


async def test_abort_ends_every_sleep_with_an_own_error() -> None:
    """Each sleep under way raises its own error object, and a sleep that begins later raises as well."""
    sleeps = InterruptibleSleep()
    await sleeps.sleep(0)
    under_way = [start(sleeps.sleep(60)) for _ in range(2)]
    await settle()
    sleeps.abort(lambda: ValueError("it was over before"))
    sleeps.abort(lambda: ValueError("it is over"))
    await settle()
    errors = [sleep.exception() for sleep in under_way]
    assert [str(error) for error in errors] == ["it is over"] * 2
    assert errors[0] is not errors[1]
    with pytest.raises(ValueError, match="it is over"):
        await sleeps.sleep(0)


async def test_a_sleep_that_is_cancelled_is_forgotten() -> None:
    """Aborting afterwards does nothing to it."""
    sleeps = InterruptibleSleep()
    sleep = start(sleeps.sleep(60))
    await settle()
    sleep.cancel()
    await settle()
    assert sleep.cancelled()
    sleeps.abort(ValueError)


async def test_callers_during_a_run_share_its_result() -> None:
    """A later call starts a new run."""
    flight: SingleFlight[int] = SingleFlight()
    runs = 0
    proceed = asyncio.Event()

    async def run() -> int:
        nonlocal runs
        runs += 1
        await proceed.wait()
        return runs

    callers = [start(flight.run(run)) for _ in range(3)]
    await settle()
    was_running = flight.is_running
    proceed.set()
    assert await asyncio.gather(*callers) == [1, 1, 1]
    assert was_running
    assert not flight.is_running
    assert await flight.run(run) == 2


async def test_a_run_continues_when_its_callers_are_cancelled() -> None:
    """The next caller joins it."""
    flight: SingleFlight[str] = SingleFlight()
    proceed = asyncio.Event()

    async def run() -> str:
        await proceed.wait()
        return "done"

    caller = start(flight.run(run))
    await settle()
    caller.cancel()
    await settle()
    assert caller.cancelled()
    other = start(flight.run(run))
    proceed.set()
    assert await other == "done"


async def test_each_caller_gets_the_failure_of_a_run() -> None:
    """And the next call tries again."""
    flight: SingleFlight[None] = SingleFlight()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no luck")

    callers = [start(flight.run(fail)) for _ in range(2)]
    await settle()
    assert [str(caller.exception()) for caller in callers] == ["no luck"] * 2
    assert not flight.is_running


async def test_a_failure_without_callers_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Everyone who asked for the run was cancelled."""
    flight: SingleFlight[None] = SingleFlight()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no luck")

    caller = start(flight.run(fail))
    await asyncio.sleep(0)
    caller.cancel()
    await settle()
    del flight
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_cancelled_run_gives_its_callers_none() -> None:
    """A run's cancellation isn't taken for a cancellation of the callers that wait for it."""
    flight: SingleFlight[None] = SingleFlight()
    flight.cancel()
    caller = start(flight.run(lambda: asyncio.sleep(60)))
    await settle()
    flight.cancel()
    assert await caller is None


async def test_cancelling_a_shielded_wait_leaves_the_task_alone() -> None:
    """The wait is cancelled, its task isn't."""
    task = asyncio.create_task(asyncio.sleep(60, "slept"))
    wait = start(await_shielded(task))
    await settle()
    wait.cancel()
    await settle()
    assert wait.cancelled()
    assert not task.done()
    task.cancel()


async def test_a_task_cancelled_by_its_owner_gives_none() -> None:
    """A waiter continues when the owner of its task cancels the task."""
    task = asyncio.create_task(asyncio.sleep(60, "slept"))
    wait = start(await_shielded(task))
    await settle()
    task.cancel()
    assert await wait is None


async def test_a_waiter_cancelled_together_with_its_task_is_cancelled() -> None:
    """A waiter's own cancellation isn't swallowed when the task that it waits for is cancelled as well."""
    task = asyncio.create_task(asyncio.sleep(60, "slept"))
    wait = start(await_shielded(task))
    await settle()
    task.cancel()
    wait.cancel()
    await settle()
    assert wait.cancelled()
