"""One batch in a process of its own, so that its CPU and peak memory are its own. It prints what it took as JSON.

python batch_client.py URL JOURNAL ITEMS CONCURRENCY MAX_STREAMS
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner


def supply(count: int) -> Iterator[BatchItem]:
    for number in range(count):
        yield BatchItem(f"item-{number}", f"Summarise chapter {number} of the book. " + "Be brief. " * 20)


def memory() -> float:
    """The peak in MiB. What `getrusage` says begins with that of the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def size(path: str) -> int:
    return Path(path).stat().st_size


async def main(url: str, journal: str, count: int, concurrency: int, max_streams: int) -> None:
    async with AsyncRebyte("rbk_x", base_url=url) as client:
        await client.tasks.list(limit=1)
        before, wall, cpu = memory(), perf_counter(), process_time()
        runner = BatchRunner(client, journal=journal, concurrency=concurrency, max_streams=max_streams)
        statuses: Counter[str] = Counter()
        async for outcome in runner.run(supply(count)):
            statuses[outcome.status] += 1
    figures = {
        "statuses": statuses,
        "seconds": perf_counter() - wall,
        "cpu": process_time() - cpu,
        "memory": memory(),
        "above": memory() - before,
        "journal": size(journal),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(int(value) for value in sys.argv[3:])))
