"""Telling webhooks what happens to tasks; whoever exchanges is never held up by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rebyte_async.emulator.clock import timestamp
from rebyte_async.emulator.faults.base import DeliveryFault
from rebyte_async.emulator.webhooks.delivery import post
from rebyte_async.emulator.webhooks.message import DeliveryPlan, QueuedDelivery

if TYPE_CHECKING:
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.tasks import Task
    from rebyte_async.emulator.state.webhooks import Webhook

EVENTS = ("task.created", "task.running", "task.completed", "task.failed", "task.canceled")


def announce_created(state: State, task: Task) -> None:
    """Tell that a task was made."""
    _tell(state, task, "task.created")


def announce(state: State, task: Task) -> None:
    """Tell a task's status, unless it has been told."""
    if task.status != task.announced:
        task.announced = task.status
        event = f"task.{task.status}"
        _tell(state, task, event if event in EVENTS else "task.failed")


def _tell(state: State, task: Task, event: str) -> None:
    webhooks = [webhook for webhook in state.webhooks.oldest_first() if webhook.wants(event)]
    if not webhooks:
        return
    body = _body(state, task, event)
    for webhook in webhooks:
        _write(state, webhook, task, event, body)


def _body(state: State, task: Task, event: str) -> bytes:
    data: dict[str, Any] = {"taskId": task.id, "status": task.status, "timestamp": timestamp(state.clock())}
    if state.webhook_format.event:
        data = {"event": event, **data}
    return json.dumps(data, separators=(",", ":")).encode()


def _write(state: State, webhook: Webhook, task: Task, event: str, body: bytes) -> None:
    plan = _plan(state, event)
    for _ in range(plan.copies):
        entry = state.deliveries.open(webhook_id=webhook.id, url=webhook.url, event=event, task_id=task.id, body=body)
        post(state, webhook, QueuedDelivery(entry, plan, waits_for=plan.behind))


def _plan(state: State, event: str) -> DeliveryPlan:
    plan = DeliveryPlan()
    for fault in reversed(state.faults.decide_delivery(event)):
        if isinstance(fault, DeliveryFault):
            plan = fault.delivery(plan)
    return plan
