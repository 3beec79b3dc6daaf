"""The budget of creates, the slots of open tasks, and the locks of prompts."""

from __future__ import annotations

import asyncio

from rebyte_async.batch.limits import CreateBudget, ItemSlots, PromptLocks


async def test_a_budget_waits_for_refunds_while_its_rest_is_reserved() -> None:
    """A refund lets the next create in, and a spent budget refuses it."""
    budget = CreateBudget(1)
    assert await budget.reserve()
    waiting = asyncio.ensure_future(budget.reserve())
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.refund()
    assert await waiting
    waiting = asyncio.ensure_future(budget.reserve())
    await asyncio.sleep(0)
    budget.spend()
    assert not await waiting
    assert budget.spent == 1
    assert await CreateBudget(None).reserve()


async def test_slots_may_be_overdrawn() -> None:
    """Tasks of earlier runs take slots that aren't free, and new ones wait until all of that is given back."""
    slots = ItemSlots(1)
    slots.force_acquire()
    slots.force_acquire()
    waiting = asyncio.ensure_future(slots.acquire())
    slots.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.release()
    await waiting


async def test_a_prompt_is_locked_while_one_of_its_creates_is_ambiguous() -> None:
    """Creates with one prompt may be in flight together, until one of them is ambiguous."""
    locks = PromptLocks()
    for _ in range(2):
        assert locks.is_free(b"p")
        locks.start(b"p")
    locks.complete(b"p", is_ambiguous=True)
    assert not locks.is_free(b"p")
    assert locks.is_free(b"q")
    assert not locks.are_all_ambiguous(b"p", 1), "one is in flight"
    locks.complete(b"p", is_ambiguous=False)
    assert locks.are_all_ambiguous(b"p", 1)
    waiting = asyncio.ensure_future(locks.wait_free(b"p"))
    await asyncio.sleep(0)
    assert not waiting.done()
    locks.resolve(b"p")
    await waiting
