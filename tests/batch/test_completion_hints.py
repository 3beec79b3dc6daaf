"""A batch that is told of the ends of its tasks, by a service whose reads lag behind."""

from __future__ import annotations

import asyncio
from typing import Any

from rebyte_async._clock import Time
from rebyte_async.batch.settings import Tuning
from rebyte_async.batch.watcher import TaskWatcher
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier, sign
from support.clients import client_of
from support.raw import RawRequest, RawServer, json_answer

SECRET = "s3cret-of-the-tests"


async def test_word_hurries_reads_whose_pauses_have_grown() -> None:
    """A read right after the word may lag behind it, so it is repeated soon, however long the pauses were before."""
    receiver, reads, second = WebhookReceiver(WebhookVerifier(SECRET)), 0, asyncio.Event()

    async def api(_request: RawRequest) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:
            second.set()
        return json_answer({"id": "t1", "status": "completed" if reads == 4 else "running"})

    async with RawServer(api) as server, client_of(server.url) as client:
        tuning = Tuning(first_poll_interval=0.01, poll_growth=1e6, hint_poll_interval=1e9, final_read_timeout=0.01)
        watcher = TaskWatcher(tasks=client.tasks, time=Time(), tuning=tuning, max_streams=0, hints=receiver)
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(watcher.wait_for_end("t1"))
            await second.wait()
            await asyncio.sleep(0.05)  # until its answer has come
            await receiver.receive(*sign({"taskId": "t1", "event": "task.completed"}, secret=SECRET))
            assert (await waiting).status == "completed"
