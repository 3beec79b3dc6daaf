"""Telling webhooks what happens to tasks; whoever calls is never held up by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rebyte_async.emulator.clock import stamp
from rebyte_async.emulator.hooks import DeliveryFault
from rebyte_async.emulator.webhooks.courier import post
from rebyte_async.emulator.webhooks.letter import Letter, Plan

if TYPE_CHECKING:
    from rebyte_async.emulator.state.tasks import Task
    from rebyte_async.emulator.state.webhooks import Webhook
    from rebyte_async.emulator.world import World

EVENTS = ("task.created", "task.running", "task.completed", "task.failed", "task.canceled")


def announce_created(world: World, task: Task) -> None:
    """Tell that a task was made."""
    _tell(world, task, "task.created")


def announce(world: World, task: Task) -> None:
    """Tell a task's status, unless it has been told."""
    if task.status != task.announced:
        task.announced = task.status
        event = f"task.{task.status}"
        _tell(world, task, event if event in EVENTS else "task.failed")


def _tell(world: World, task: Task, event: str) -> None:
    webhooks = [webhook for webhook in world.webhooks.oldest_first() if webhook.wants(event)]
    if not webhooks:
        return
    body = _body(world, task, event)
    for webhook in webhooks:
        _write(world, webhook, task, event, body)


def _body(world: World, task: Task, event: str) -> bytes:
    data: dict[str, Any] = {"taskId": task.id, "status": task.status, "timestamp": stamp(world.clock())}
    if world.webhook_format.event:
        data = {"event": event, **data}
    return json.dumps(data, separators=(",", ":")).encode()


def _write(world: World, webhook: Webhook, task: Task, event: str, body: bytes) -> None:
    plan = _plan(world, event)
    for _ in range(plan.copies):
        entry = world.deliveries.open(webhook_id=webhook.id, url=webhook.url, event=event, task_id=task.id, body=body)
        post(world, webhook, Letter(entry, plan, waits_for=plan.behind))


def _plan(world: World, event: str) -> Plan:
    plan = Plan()
    for fault in reversed(world.faults.decide_delivery(event)):
        if isinstance(fault, DeliveryFault):
            plan = fault.delivery(plan)
    return plan
