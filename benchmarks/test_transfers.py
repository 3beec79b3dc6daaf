"""A gibibyte up and down, beside bare aiohttp streaming and httpx: speed, and the memory that it takes.

Each transfer runs in a process of its own, so that its peak memory is its own; the best of some rounds counts.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from benchmarks.conftest import Figures

SIZE = 1024 * 1024 * 1024
BLOCK = 1024 * 1024
ROUNDS = 3
HERE = Path(__file__)


async def upload_ours(base: str, path: Path) -> None:
    from rebyte_async import AsyncRebyte

    async with AsyncRebyte("rbk_x", base_url=base) as client:
        await client.files.upload(path)


async def upload_bare(base: str, path: Path) -> None:
    import aiohttp

    async def blocks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        headers = {"Content-Length": str(SIZE), "Content-Type": "application/octet-stream"}
        async with session.put(base.replace("/v1", "/sink"), data=blocks(), headers=headers) as response:
            response.raise_for_status()


async def upload_httpx(base: str, path: Path) -> None:
    import httpx

    async def blocks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block

    async with httpx.AsyncClient(timeout=None) as client:
        (
            await client.put(base.replace("/v1", "/sink"), content=blocks(), headers={"Content-Length": str(SIZE)})
        ).raise_for_status()


async def download_ours(base: str, path: Path) -> None:
    from rebyte_async import AsyncRebyte

    async with AsyncRebyte("rbk_x", base_url=base) as client:
        await client.artifacts.download("w", "large", path)


async def download_bare(base: str, path: Path) -> None:
    """As safe as ours: a temporary file, synced, and put in place."""
    import aiohttp

    part = path.with_suffix(".part")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), read_bufsize=BLOCK) as session:
        async with session.get(base.replace("/v1", "/large")) as response:
            with part.open("wb") as file:
                async for block in response.content.iter_chunked(BLOCK):
                    await asyncio.to_thread(file.write, block)
                await asyncio.to_thread(os.fsync, file.fileno())
    part.replace(path)


async def download_httpx(base: str, path: Path) -> None:
    import httpx

    part = path.with_suffix(".part")
    async with (
        httpx.AsyncClient(timeout=None) as client,
        client.stream("GET", base.replace("/v1", "/large")) as response,
    ):
        with part.open("wb") as file:
            async for block in response.aiter_bytes(BLOCK):
                await asyncio.to_thread(file.write, block)
            await asyncio.to_thread(os.fsync, file.fileno())
    part.replace(path)


def transfer(which: str, base: str, path: Path) -> tuple[float, float]:
    """Seconds and peak memory above the start, in MiB, in a process of its own."""
    command = [sys.executable, str(HERE), which, base, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_transfers(figures: Figures, direction: str) -> None:
    server = subprocess.Popen([sys.executable, str(HERE.parent / "api_server.py"), str(SIZE)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    base = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.bin"
        if direction == "upload":
            with path.open("wb") as file:
                file.truncate(SIZE)
        for _ in range(ROUNDS):
            for who in ("ours", "bare", "httpx"):
                now = transfer(f"{direction}_{who}", base, path)
                before = best.get(who, now)
                best[who] = (min(before[0], now[0]), max(before[1], now[1]))
    server.terminate()
    server.wait()
    server.stdout.close()
    ours = best["ours"]
    figures.add(f"{direction} of 1 GiB", "MiB a second", SIZE / BLOCK / ours[0])
    figures.add(f"{direction} of 1 GiB", "of bare aiohttp's speed", best["bare"][0] / ours[0], aim=0.9)
    figures.add(f"{direction} of 1 GiB", "times httpx's speed", best["httpx"][0] / ours[0])
    figures.add(f"{direction} of 1 GiB", "peak memory above the start, MiB", ours[1], aim=64, at_most=True)
    figures.add(f"{direction} of 1 GiB", "the same, bare aiohttp", best["bare"][1])


def main(which: str, base: str, path: str) -> None:
    for name in ("aiohttp", "httpx", "rebyte_async"):
        import_module(name)  # what is imported is no part of the transfer's memory

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = perf_counter()
    asyncio.run(globals()[which](base, Path(path)))
    seconds = perf_counter() - start
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
