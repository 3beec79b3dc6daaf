"""Delivering webhook events: in order and with retries, without holding up the tasks, and never off this machine."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define, field
from yarl import URL

from rebyte_async.emulator.faults.base import DeliveryPlan, apply_faults
from rebyte_async.emulator.faults.registry import FaultRegistry
from rebyte_async.emulator.generators import now, timestamp
from rebyte_async.emulator.settings import Formats
from rebyte_async.emulator.state.primitives import Collection
from rebyte_async.emulator.state.tasks import Task
from rebyte_async.emulator.state.webhooks import EVENTS, Webhook
from rebyte_async.emulator.webhooks.log import Attempt, DeliveryLog, Outcome
from rebyte_async.emulator.webhooks.message import QueuedDelivery, SigningKey

_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Rebyte-Webhooks"}


@define(eq=False)
class DeliveryWorker:
    """Delivers events to all webhooks; what it starts runs in tasks that `spawn` makes."""

    webhooks: Collection[Webhook]
    log: DeliveryLog
    faults: FaultRegistry
    formats: Formats
    key: SigningKey
    clock: Callable[[], datetime]
    spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    _queues: dict[str, WebhookQueue] = field(factory=dict[str, "WebhookQueue"], init=False)

    def announce(self, task: Task) -> None:
        """Notify webhooks of a task's status, unless they were notified of it already."""
        if task.status != task.announced_status:
            task.announced_status = task.status
            event = f"task.{task.status}"
            self.notify(task, event if event in EVENTS else "task.failed")

    def notify(self, task: Task, event: str) -> None:
        """Notify webhooks of an event of a task; return at once."""
        webhooks = [webhook for webhook in self.webhooks.values() if webhook.is_active and event in webhook.events]
        if not webhooks:
            return
        data: dict[str, Any] = {"event": event} if self.formats.webhook.event else {}
        data.update(taskId=task.id, status=task.status, timestamp=timestamp(self.clock()))
        body = json.dumps(data, separators=(",", ":")).encode()
        for webhook in webhooks:
            plan = apply_faults(self.faults.decide_delivery(event), "delivery", DeliveryPlan())
            queue = self._queues.setdefault(webhook.id, WebhookQueue(self, webhook))
            for _ in range(plan.copies):
                new = self.log.open(webhook_id=webhook.id, url=webhook.url, event=event, task_id=task.id, body=body)
                queue.enqueue(QueuedDelivery(new, plan, held_for=plan.behind))

    def drop_held(self, webhook: Webhook) -> None:
        """Drop the deliveries that are held back for a deleted webhook."""
        queue = self._queues.pop(webhook.id, None)
        if queue is not None:
            queue.drop_held()


@define(eq=False)
class WebhookQueue:
    """The deliveries for one webhook, sent one at a time; a failed one is queued again after a pause."""

    _worker: DeliveryWorker
    _webhook: Webhook
    _ready: deque[QueuedDelivery] = field(factory=deque[QueuedDelivery], init=False)
    _held: list[QueuedDelivery] = field(factory=list[QueuedDelivery], init=False)
    _sender: asyncio.Task[None] | None = field(default=None, init=False)

    def enqueue(self, queued: QueuedDelivery) -> None:
        """Add a delivery, to be sent after those before it; return at once."""
        if queued.held_for:
            self._held.append(queued)
        else:
            self._ready.append(queued)
            self._wake()

    def drop_held(self) -> None:
        while self._held:
            self._worker.log.update(self._held.pop().delivery, outcome="dropped")

    def _wake(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = self._worker.spawn(self._run())

    async def _run(self) -> None:
        while self._ready:
            queued = self._ready.popleft()
            if self._webhook.is_deleted:
                self._finish(queued, "dropped")
            elif not is_loopback(URL(self._webhook.url).host):
                self._finish(queued, "skipped")
            else:
                await self._try(queued)

    async def _try(self, queued: QueuedDelivery) -> None:
        policy = self._worker.formats.delivery  # a test may set another one at any time
        time, body, status, error = now(), queued.body, None, None
        headers = {**_HEADERS, **await queued.make_headers(self._worker.key, self._webhook.secret, time)}
        try:
            status = await _post(self._webhook.url, headers, body, policy.timeout)
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        attempt = Attempt(time=time, headers=headers, body=body, status=status, error=error)
        attempts = (*queued.delivery.attempts, attempt)
        queued.delivery = self._worker.log.update(queued.delivery, attempts=attempts)
        self._webhook.record_attempt(
            self._worker.clock(), succeeded=attempt.succeeded, deactivate_after=policy.deactivate_after
        )
        if attempt.succeeded:
            self._finish(queued, "delivered")
        elif len(attempts) >= policy.attempts:
            self._finish(queued, "failed")
        else:
            # It waits outside the queue, so that later deliveries overtake it.
            self._worker.spawn(self._enqueue_later(queued, policy.backoff * 2 ** (len(attempts) - 1)))

    async def _enqueue_later(self, queued: QueuedDelivery, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.enqueue(queued)

    def _finish(self, queued: QueuedDelivery, outcome: Outcome) -> None:
        queued.delivery = self._worker.log.update(queued.delivery, outcome=outcome)
        # A held delivery counts the later ones that are over, whatever their outcome, and then goes before all others.
        for held in [held for held in self._held if held.delivery.number < queued.delivery.number]:
            held.held_for -= 1
            if not held.held_for:
                self._held.remove(held)
                self._ready.appendleft(held)
                self._wake()


async def _post(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
    # A certificate proves nothing about this machine to itself, so none is checked. Redirects aren't followed: they
    # could lead elsewhere.
    connector = aiohttp.TCPConnector(resolver=LoopbackResolver(), use_dns_cache=False, force_close=True, ssl=False)
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=limit) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


def is_loopback(host: str | None) -> bool:
    """Return whether a URL's host is this machine, by name or by address, without asking a name server."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class LoopbackResolver(AbstractResolver):
    """Resolves this machine's own names to its loopback addresses, and no others, whatever the system's settings."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name, or raise an `OSError` if it isn't this machine's."""
        if not is_loopback(host):
            raise OSError(f"{host} isn't this machine")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=known, proto=0, flags=socket.AI_NUMERICHOST)
            for known, address in _LOOPBACK.items()
            if family in (known, socket.AF_UNSPEC)
        ]

    async def close(self) -> None: ...
