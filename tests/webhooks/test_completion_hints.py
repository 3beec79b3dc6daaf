"""Completion hints are numbered, bounded and kept for those who come later."""

from __future__ import annotations

import asyncio

import pytest

from rebyte_async.webhooks import WebhookEvent
from rebyte_async.webhooks._completions import CompletionHints, Hint


def completed(task_id: str) -> WebhookEvent:
    """Make the event of a task that has completed."""
    return WebhookEvent("task.completed", task_id)


async def test_only_so_many_tasks_are_remembered() -> None:
    """The oldest hints are forgotten first, and a newer hint of a task makes it the newest."""
    hints = CompletionHints(3)
    for task_id in ("a", "b", "c", "a", "d"):
        hints.publish(completed(task_id))
    assert len(hints.latest) == 3
    assert await hints.next("a", 0) == Hint(4, "task.completed")
    hints.close()
    assert await hints.next("b", 0) is None


async def test_waits_leave_nothing_behind() -> None:
    """A task is awaited while someone waits for it: not after a hint, a cancellation or the end."""
    hints = CompletionHints(10)
    waits = {task_id: asyncio.create_task(hints.next(task_id, 0)) for task_id in ("a", "b", "c")}
    twice = asyncio.create_task(hints.next("a", 0))
    await asyncio.sleep(0)
    assert set(hints.signals) == {"a", "b", "c"}
    hints.publish(completed("a"))
    waits["b"].cancel()
    assert await waits["a"] == await twice == Hint(1, "task.completed")
    with pytest.raises(asyncio.CancelledError):
        await waits["b"]
    assert set(hints.signals) == {"c"}
    hints.close()
    assert await waits["c"] is None
    assert not hints.signals


async def test_an_event_that_ends_nothing_is_no_hint() -> None:
    """An event that says that the task still runs wakes no wait."""
    hints = CompletionHints(10)
    wait = asyncio.create_task(hints.next("a", 0))
    await asyncio.sleep(0)
    hints.publish(WebhookEvent("task.running", "a"))
    hints.publish(completed("b"))
    await asyncio.sleep(0)
    assert not wait.done()
    hints.publish(WebhookEvent(None, "a"))
    assert await wait == Hint(2, None)
