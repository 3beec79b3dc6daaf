"""Turns of calls."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from rebyte_async import RetryPolicy
from rebyte_async._transport.turns import Turns
from support.clients import client_of
from support.raw import RawRequest, RawServer, answer, json_answer


async def test_turns_are_given_in_order() -> None:
    """So many have one at once, and the others get theirs in the order in which they came."""
    turns, started = Turns(2), list[int]()
    gates = [asyncio.Event() for _ in range(5)]

    async def work(number: int) -> None:
        await turns.take()
        started.append(number)
        await gates[number].wait()
        turns.give()

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
async def test_a_cancelled_wait_takes_no_turn(*, handed_over: bool) -> None:
    """Neither while it waits nor when its turn came in the same moment: the next one gets it."""
    turns = Turns(1)
    await turns.take()
    first = asyncio.ensure_future(turns.take())
    second = asyncio.ensure_future(turns.take())
    await asyncio.sleep(0)
    if handed_over:
        turns.give()
        first.cancel()
    else:
        first.cancel()
        await asyncio.sleep(0)
        turns.give()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
    turns.give()
    await asyncio.wait_for(turns.take(), 5)
    assert not turns._free


async def test_a_call_that_waits_for_its_next_attempt_has_no_turn() -> None:
    """A hundred calls that back off hold up no other one."""

    async def handler(request: RawRequest) -> bytes:
        return answer(500) if "bad" in request.path else json_answer({"id": "good"})

    resting, over = 0, asyncio.Event()

    async def rest(_: float) -> None:
        nonlocal resting
        resting += 1
        await over.wait()

    policy = RetryPolicy(max_attempts=2, budget=1_000)
    async with RawServer(handler) as server, client_of(server.url, retry=policy) as client:
        client._transport.gate.sleep = rest
        bad = [asyncio.ensure_future(client.tasks.get("bad")) for _ in range(100)]
        while resting < 100:
            await asyncio.sleep(0.005)
        with anyio.fail_after(5):
            assert (await client.tasks.get("good")).id == "good"
        over.set()
        assert len(await asyncio.gather(*bad, return_exceptions=True)) == 100
        assert client.stats().in_flight == 0
