"""Waits for tasks need few requests with deliveries, and end correctly without any."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async.emulator import Emulator, Match, Status, hold, text
from rebyte_async.errors import ConfigurationError, NotFoundError, ServerError, WaitTimeoutError
from rebyte_async.resources.waiting import CreationGrace, TaskPoller, wait_with_hints
from rebyte_async.types import Task, TaskCompletionHints
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier, sign
from support.serving import serve_asgi

SECRET = "s3cret-of-the-tests"
VERIFIER = WebhookVerifier(SECRET)


async def deliver(receiver: WebhookReceiver, task_id: str, event: str | None = "task.completed", **more: Any) -> None:
    """Give a receiver a genuine delivery."""
    payload = {"taskId": task_id, **more} | ({} if event is None else {"event": event})
    assert (await receiver.receive(*sign(payload, secret=SECRET))).status == 200


def poller(read: Callable[[], Awaitable[Task]], *, is_new: bool = False) -> TaskPoller:
    """Make a poller of the task t1."""
    grace = CreationGrace()
    if is_new:
        grace.start("t1")
    return TaskPoller("t1", read, grace)


async def test_a_delivery_ends_the_wait_and_the_task_is_the_result(emulator: Emulator, client: AsyncRebyte) -> None:
    """The task is read at the start and after the hint: no stream, no polling."""
    receiver = WebhookReceiver(VERIFIER, client=client)
    async with serve_asgi(receiver) as origin:
        await client.webhooks.create(f"{origin}/", ["task.running", "task.completed"], secret=SECRET)
        emulator.script(hold(), text("Done"))
        task = await client.tasks.create("Say hello")
        waiting = asyncio.create_task(receiver.wait(task.id))
        await emulator.delivered("task.running")
        await emulator.reached()
        while not emulator.log.select("GET", f"/tasks/{task.id}"):
            await asyncio.sleep(0.001)
        emulator.release()
        assert (await waiting).is_terminal
    assert len(emulator.log.select("GET", f"/tasks/{task.id}")) == 2
    assert not emulator.log.select("GET", f"/tasks/{task.id}/events")


async def test_tasks_wait_with_a_receiver_is_one_read_and_no_stream(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task that was just created is read once, after the hint, and its stream isn't opened."""
    receiver = WebhookReceiver(VERIFIER)
    async with serve_asgi(receiver) as origin:
        await client.webhooks.create(f"{origin}/", ["task.completed"], secret=SECRET)
        emulator.script(hold(), text("Done"))
        task = await client.tasks.create("Say hello")
        waiting = asyncio.create_task(client.tasks.wait(task.id, receiver=receiver, timeout=30))
        await emulator.reached()
        emulator.release()
        assert (await waiting).final_result == "Done"
    assert [call.path for call in emulator.log.select("GET", "/tasks.*")] == [f"/tasks/{task.id}"]


async def test_tasks_wait_without_hints_reads_the_task(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task that this client didn't create is read at once; the timeout of a wait holds."""
    receiver = WebhookReceiver(VERIFIER)
    task = await client.tasks.create("Say hello")
    assert (await client.tasks.wait(task.id)).is_terminal
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as other:
        assert (await other.tasks.wait(task.id, receiver=receiver)).status == "completed"
    with pytest.raises(WaitTimeoutError, match="had not ended"):
        await client.tasks.wait((await client.tasks.create("More")).id, receiver=receiver, timeout=0.05)


async def test_a_hint_that_came_before_the_wait_counts(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task that had ended before the wait needs one read."""
    receiver = WebhookReceiver(VERIFIER, client=client)
    task = await client.tasks.create("Say hello")
    await client.tasks.wait(task.id)
    emulator.log.clear()
    assert (await receiver.wait(task.id)).final_result == "Hello"
    assert len(emulator.log.select("GET", "/tasks/[^/]+")) == 1


async def test_without_a_delivery_the_task_is_polled(client: AsyncRebyte) -> None:
    """The task is read at intervals until it has ended."""
    receiver = WebhookReceiver(VERIFIER)
    task = await client.tasks.create("Say hello")
    ended = await receiver.wait(task.id, client=client, poll_interval=0.02)
    assert ended.status == "completed"


async def test_a_delivery_is_only_a_hint() -> None:
    """A hint of an end doesn't end the wait while the task is still running."""
    receiver = WebhookReceiver(VERIFIER)
    task = Task(id="t1", status="running")
    reads = 0

    async def read() -> Task:
        nonlocal reads
        reads += 1
        return task

    waiting = asyncio.create_task(wait_with_hints(poller(read), receiver))
    await asyncio.sleep(0)
    for number in range(3):
        await deliver(receiver, "t1", number=number)
        await asyncio.sleep(0.005)
    assert (waiting.done(), reads) == (False, 4)
    task = Task(id="t1", status="failed")
    await deliver(receiver, "t1", "task.running")
    await asyncio.sleep(0.005)
    assert (waiting.done(), reads) == (False, 4)  # an event that says that the task runs is no hint
    await deliver(receiver, "t1", "task.failed")
    assert (await waiting).status == "failed"


async def test_a_read_that_lags_is_repeated_soon() -> None:
    """A task that is not terminal right after a hint is read again long before the next poll."""
    receiver = WebhookReceiver(VERIFIER)
    statuses = iter(["running", "running", "completed"])

    async def read() -> Task:
        return Task(id="t1", status=next(statuses))

    await deliver(receiver, "t1")
    async with asyncio.timeout(30):
        assert (await wait_with_hints(poller(read), receiver)).status == "completed"


async def test_a_new_hint_shortens_intervals_that_have_grown() -> None:
    """After the hint of an earlier turn, the hint of the end is followed by reads at short intervals again."""
    receiver = WebhookReceiver(VERIFIER)
    reads = 0
    second = asyncio.Event()

    async def read() -> Task:
        nonlocal reads
        reads += 1
        if reads == 3:
            second.set()
        return Task(id="t1", status="completed" if reads == 5 else "running")

    waiting = asyncio.create_task(
        wait_with_hints(poller(read), receiver, poll_interval=1e9, first_interval=0.005, factor=1e6)
    )
    await asyncio.sleep(0)
    await deliver(receiver, "t1", turn=1)
    await second.wait()
    await asyncio.sleep(0)
    await deliver(receiver, "t1", turn=2)
    async with asyncio.timeout(5):
        assert (await waiting).status == "completed"


async def test_a_wait_need_not_poll_at_all() -> None:
    """With an infinite interval there are two reads: at the start, and after the hint."""
    receiver = WebhookReceiver(VERIFIER)
    reads = 0

    async def read() -> Task:
        nonlocal reads
        reads += 1
        return Task(id="t1", status="completed" if reads > 1 else "running")

    waiting = asyncio.create_task(wait_with_hints(poller(read), receiver, poll_interval=math.inf))
    await asyncio.sleep(0.005)
    assert reads == 1
    await deliver(receiver, "t1")
    assert (await waiting).status == "completed"


async def test_reads_that_fail_are_tolerated_for_a_while(emulator: Emulator) -> None:
    """A wait survives a short outage of the service, and fails if the outage lasts."""
    retry = RetryPolicy(max_attempts=1)
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url, retry=retry) as client:
        task = await client.tasks.create("Say hello")
        receiver = WebhookReceiver(VERIFIER, client=client)
        emulator.faults.add(Status(503), Match("GET", "/tasks/[^/]+"), times=3)
        assert (await receiver.wait(task.id, poll_interval=0.001)).status == "completed"
        emulator.faults.add(Status(503), Match("GET", "/tasks/[^/]+"), times=None)
        with pytest.raises(ServerError):
            await receiver.wait(task.id, poll_interval=0.001)


async def test_a_task_that_is_not_there_is_an_error() -> None:
    """A 404 fails the wait at once, except during the creation grace."""
    receiver = WebhookReceiver(VERIFIER)
    reads = 0

    async def read() -> Task:
        nonlocal reads
        reads += 1
        if reads < 3:
            raise NotFoundError(404)
        return Task(id="t1", status="completed")

    with pytest.raises(NotFoundError):
        await wait_with_hints(poller(read), receiver)
    assert (await wait_with_hints(poller(read, is_new=True), receiver, poll_interval=0.01)).is_terminal


async def test_a_new_task_need_not_be_read_first() -> None:
    """With `read_first=False` the only read is the one after the hint."""
    receiver = WebhookReceiver(VERIFIER)
    reads = 0

    async def read() -> Task:
        nonlocal reads
        reads += 1
        return Task(id="t1", status="completed")

    waiting = asyncio.create_task(wait_with_hints(poller(read), receiver, read_first=False))
    await asyncio.sleep(0.005)
    assert reads == 0
    await deliver(receiver, "t1")
    await waiting
    assert reads == 1


async def test_a_wait_has_a_timeout(emulator: Emulator, client: AsyncRebyte) -> None:
    """The error has the task and its last status; an invalid timeout or interval is refused."""
    emulator.clear()
    emulator.script(hold())
    task = await client.tasks.create("Say hello")
    receiver = WebhookReceiver(VERIFIER, client=client)
    with pytest.raises(WaitTimeoutError) as caught:
        await receiver.wait(task.id, timeout=0.1)
    assert (caught.value.resource_id, caught.value.last_status) == (task.id, "running")
    for wrong in (-1, "5", True):
        with pytest.raises(ConfigurationError, match="timeout"):
            await receiver.wait(task.id, timeout=wrong)  # type: ignore[arg-type]
    no_intervals: list[Any] = [-1, 0, "5", True, math.nan, 10**400]
    for wrong in no_intervals:
        with pytest.raises(ConfigurationError, match="poll_interval"):
            await receiver.wait(task.id, poll_interval=wrong)
    with pytest.raises(WaitTimeoutError):
        await receiver.wait(task.id, poll_interval=math.inf, timeout=0.01)


# --- without a client ---


async def test_without_a_client_a_delivery_is_believed() -> None:
    """The result has the id and status of the delivery; deliveries that name no end are ignored."""
    receiver = WebhookReceiver(VERIFIER)
    await deliver(receiver, "t1", "task.failed")
    assert await receiver.wait("t1") == Task(id="t1", status="failed")
    waiting = asyncio.create_task(receiver.wait("t2"))
    for event in ("task.created", "task.running", "task.archived", None):
        await deliver(receiver, "t2", event)
        await deliver(receiver, "t3", "task.completed")
        await asyncio.sleep(0)
    assert not waiting.done()
    await deliver(receiver, "t2", "task.canceled")
    assert await waiting == Task(id="t2", status="canceled")
    with pytest.raises(WaitTimeoutError, match="no delivery reported the end of task t4"):
        await receiver.wait("t4", timeout=0.01)


async def test_a_later_hint_takes_no_end_back() -> None:
    """A later delivery without a known event doesn't undo an end that was named."""
    receiver = WebhookReceiver(VERIFIER)
    for event in ("task.failed", "task.shared", None):
        await deliver(receiver, "t1", event)
    assert await receiver.wait("t1", timeout=1) == Task(id="t1", status="failed")
    await deliver(receiver, "t1", "task.completed")
    assert await receiver.wait("t1", timeout=1) == Task(id="t1", status="completed")


async def test_a_closed_receiver_gives_no_more_hints() -> None:
    """A wait without a client fails; a wait for a hint continues, because its caller polls as well."""
    receiver = WebhookReceiver(VERIFIER)
    waiting = asyncio.create_task(receiver.wait("t1"))
    hearing = asyncio.create_task(receiver.ended("t1"))
    await asyncio.sleep(0)
    await receiver.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await waiting
    await asyncio.sleep(0.005)
    assert not hearing.done()
    hearing.cancel()


async def test_hints_are_numbered_and_a_repeat_is_a_hint() -> None:
    """A newer hint has a higher number, and a repeated delivery is a hint as well."""
    receiver = WebhookReceiver(VERIFIER)
    hints: TaskCompletionHints = receiver
    await deliver(receiver, "t1")
    first = await hints.ended("t1")
    assert await hints.ended("t1", first - 1) == first
    waiting = asyncio.create_task(hints.ended("t1", first))
    await asyncio.sleep(0)
    assert not waiting.done()
    await deliver(receiver, "t1")  # the same bytes: another turn may end with them
    assert await waiting > first
    assert (receiver.stats().accepted, receiver.stats().repeated) == (1, 1)
