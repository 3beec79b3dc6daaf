"""Ordinary calls, at 1, 16 and 128 at once, beside bare aiohttp, httpx and openai on the same loopback server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import aiohttp
import httpx
import openai
import pytest

from rebyte_async import AsyncRebyte

if TYPE_CHECKING:
    from benchmarks.conftest import Figures

CALLS = 512
ROUNDS = 15
PATH = "/tasks/3f2b6c1e"
Call = Callable[[], Awaitable[object]]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = Path(__file__).parent / "api_server.py"
    with subprocess.Popen([sys.executable, str(server), "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.terminate()


async def ours(stack: AsyncExitStack, base: str) -> Call:
    client = await stack.enter_async_context(AsyncRebyte("rbk_x", base_url=base))
    return lambda: client.tasks.get("3f2b6c1e")


async def bare(stack: AsyncExitStack, base: str) -> Call:
    session = await stack.enter_async_context(aiohttp.ClientSession())

    async def call() -> object:
        async with session.get(base + PATH, headers={"API_KEY": "rbk_x"}) as response:
            return json.loads(await response.read())

    return call


async def with_httpx(stack: AsyncExitStack, base: str) -> Call:
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=128)
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits))

    async def call() -> object:
        return (await client.get(base + PATH, headers={"API_KEY": "rbk_x"})).json()

    return call


async def with_openai(stack: AsyncExitStack, base: str) -> Call:
    client = await stack.enter_async_context(openai.AsyncOpenAI(api_key="x", base_url=base))
    return lambda: client.get(PATH, cast_to=dict[str, object])


CONTENDERS = {"rebyte-async": ours, "bare aiohttp": bare, "httpx": with_httpx, "openai": with_openai}


async def timed(call: Call, at_once: int) -> tuple[float, float]:
    """Seconds of wall clock and of CPU for one call."""
    left = iter(range(CALLS))

    async def work() -> None:
        for _ in left:
            await call()

    wall, cpu = perf_counter(), process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return (perf_counter() - wall) / CALLS, (process_time() - cpu) / CALLS


async def measured(base: str, at_once: int) -> dict[str, list[tuple[float, float]]]:
    """Rounds in which all take turns, in one order and then in the other."""
    async with AsyncExitStack() as stack:
        calls = {name: await make(stack, base) for name, make in CONTENDERS.items()}
        for call in calls.values():
            await asyncio.gather(*(call() for _ in range(at_once)))
            await timed(call, at_once)
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for number in range(ROUNDS):
            for name in calls if number % 2 else reversed(calls):
                rounds[name].append(await timed(calls[name], at_once))
    return rounds


@pytest.mark.parametrize("at_once", [1, 16, 128])
def test_calls(base: str, figures: Figures, at_once: int) -> None:
    rounds = asyncio.run(measured(base, at_once))
    what, ours = f"calls, {at_once} at once", rounds["rebyte-async"]
    figures.add(what, "rebyte-async, a second", 1 / median(wall for wall, _ in ours))
    for name, theirs in rounds.items():
        if name == "rebyte-async":
            continue
        aim = (1.1 if at_once == 128 else 1.2) if name == "bare aiohttp" else None
        # Within a round both have the same machine: the median of the ratios says more than the ratio of the best.
        cpu = median(mine[1] / other[1] for mine, other in zip(ours, theirs, strict=True))
        speed = median(other[0] / mine[0] for mine, other in zip(ours, theirs, strict=True))
        figures.add(what, f"CPU a call, times {name}'s", cpu, aim=aim, at_most=True)
        figures.add(what, f"calls a second, times {name}'s", speed)
