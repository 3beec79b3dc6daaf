"""Batches with completion hints from a webhook receiver: few requests, and no stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import AsyncRebyte, errors
from rebyte_async._clock import Time
from rebyte_async.batch import BatchRunner
from rebyte_async.batch.settings import Tuning
from rebyte_async.batch.watcher import TaskWatcher
from rebyte_async.emulator import DeliveryPolicy, Emulator, fail, text
from rebyte_async.emulator import error as goes_wrong
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier, sign
from support.batches import creates, items, outcomes_of, runner_of
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, json_response
from support.serving import serve_asgi

SECRET = "s3cret-of-the-tests"
ENDS = ["task.completed", "task.failed", "task.canceled"]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator that sends deliveries at once."""
    async with Emulator(pace=0.001, delivery=DeliveryPolicy(backoff=0)) as emulator:
        emulator.script(text("Done"), times=None)
        yield emulator
        emulator.check()


@asynccontextmanager
async def registered_receiver(client: AsyncRebyte) -> AsyncGenerator[WebhookReceiver]:
    """A receiver that is served and registered."""
    async with WebhookReceiver(WebhookVerifier(SECRET)) as receiver, serve_asgi(receiver) as origin:
        webhook = await client.webhooks.create(f"{origin}/", ENDS, secret=SECRET)
        yield receiver
        await client.webhooks.delete(webhook.id)


async def test_a_task_takes_two_requests_and_no_stream(emulator: Emulator, client: AsyncRebyte) -> None:
    """A task takes its create and one read, when a delivery reports its end."""
    async with registered_receiver(client) as receiver:
        found = await outcomes_of(runner_of(client, receiver=receiver, concurrency=20), items(100))
    assert Counter((outcome.status, outcome.final_result) for outcome in found.values()) == {("completed", "Done"): 100}
    assert creates(emulator) == 100
    assert emulator.log.select("GET", "/tasks/[^/]+/events") == ()
    assert 100 <= len(emulator.log.select("GET", "/tasks/[^/]+")) <= 110, "a read may come before what it looks for"


async def test_the_error_of_a_failed_task_is_read_from_its_stream(emulator: Emulator, client: AsyncRebyte) -> None:
    """The task itself doesn't say why it failed."""
    emulator.script(goes_wrong("the disk is full"), fail(), prompt="Fail")
    async with registered_receiver(client) as receiver:
        found = await outcomes_of(runner_of(client, receiver=receiver), items(1, "Fail"))
    assert (found["k0"].status, found["k0"].error) == ("failed", "the disk is full")


async def test_tasks_are_read_where_no_delivery_comes(client: AsyncRebyte) -> None:
    """Without deliveries, tasks are read at intervals, and all items end."""
    async with WebhookReceiver(WebhookVerifier(SECRET)) as receiver:
        runner = runner_of(client, receiver=receiver, tuning={"hint_poll_interval": 0.05})
        found = await outcomes_of(runner, items(5))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 5}


async def test_tasks_of_an_earlier_run_are_read_at_once(client: AsyncRebyte, tmp_path: Path) -> None:
    """Tasks of an earlier run may have ended before this one, so that no delivery about them will come."""
    journal = tmp_path / "run.sqlite3"
    async with runner_of(client, journal=journal, max_streams=0, tuning={"first_poll_interval": 600.0}).run(
        items(3)
    ) as run:
        while run.progress.running < 3:
            await client.tasks.list()
    async with WebhookReceiver(WebhookVerifier(SECRET)) as receiver:
        runner = runner_of(
            client,
            journal=journal,
            receiver=receiver,
            tuning={"hint_poll_interval": 600.0, "first_poll_interval": 0.01},
        )
        found = await outcomes_of(runner, items(3))
    assert Counter(outcome.status for outcome in found.values()) == {"completed": 3}


async def test_a_receiver_without_ended_is_refused(client: AsyncRebyte) -> None:
    """An object without `ended` is refused, and its type is named."""
    with pytest.raises(errors.ConfigurationError, match="receiver must be a WebhookReceiver, not str"):
        BatchRunner(client, receiver="https://example.invalid")  # type: ignore[arg-type]


async def test_a_hint_shortens_an_interval_that_has_grown() -> None:
    """A read may lag behind its hint, so it is soon repeated, however long the interval had become."""
    receiver = WebhookReceiver(WebhookVerifier(SECRET))
    reads = 0
    second = asyncio.Event()

    async def api(_request: RawRequest) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:
            second.set()
        return json_response({"id": "t1", "status": "completed" if reads == 4 else "running"})

    async with RawServer(api) as server, client_of(server.url) as client:
        tuning = Tuning(first_poll_interval=0.01, poll_growth=1e6, hint_poll_interval=1e9, final_read_timeout=0.01)
        watcher = TaskWatcher(tasks=client.tasks, time=Time(), tuning=tuning, max_streams=0, hints=receiver)
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(watcher.wait_for_end("t1"))
            await second.wait()
            await asyncio.sleep(0.05)  # until its response has come
            await receiver.receive(*sign({"taskId": "t1", "event": "task.completed"}, secret=SECRET))
            assert (await waiting).status == "completed"
