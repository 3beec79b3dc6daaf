"""A worker in a process of its own. It says when it is ready, waits for a line, and prints what it took as JSON.

python batch_worker.py URL DSN BATCH CONCURRENCY
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter, process_time
from typing import Any

import psycopg

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchWorker, PostgresJournal


class Counted(psycopg.Connection[Any]):
    """A session whose statements are counted, with the beginnings and the ends of transactions."""

    statements = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        """Run a statement."""
        Counted.statements += 1
        return super().execute(*arguments, **options)


async def main(url: str, dsn: str, batch: str, concurrency: int) -> None:
    async with AsyncRebyte("rbk_x", base_url=url) as client:
        await client.tasks.list(limit=1)
        worker = BatchWorker(client, PostgresJournal(dsn, batch=batch), concurrency=concurrency)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        wall, cpu = perf_counter(), process_time()
        count = 0
        async for outcome in worker.run():
            assert outcome.status == "completed", outcome
            count += 1
    figures = {
        "items": count,
        "seconds": perf_counter() - wall,
        "cpu": process_time() - cpu,
        "statements": Counted.statements,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    setattr(psycopg, "connect", Counted.connect)  # noqa: B010 - mypy allows no assignment
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
