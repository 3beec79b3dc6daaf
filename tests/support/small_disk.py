"""A batch in an own process that may only write small files."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from rebyte_async import errors
from rebyte_async.batch import BatchItem
from support.batches import items, runner_of
from support.clients import client_of

if sys.platform != "win32":
    import resource

__all__ = ["large_items", "run"]

_LIMIT = 300_000


def large_items(count: int) -> list[BatchItem]:
    """Return `count` items of 3 KB each."""
    return items(count, prompt="Do {} " + "x" * 3000)


def run(url: str, path: str, report: str) -> None:
    """Run a batch with the journal `path`, and write the keys of its outcomes and its error to the file `report`."""
    if sys.platform != "win32":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT, _LIMIT))
    asyncio.run(_run(url, path, Path(report)))


async def _run(url: str, path: str, report: Path) -> None:
    with report.open("a", encoding="utf-8") as file:
        async with client_of(url) as client:
            try:
                async for outcome in runner_of(client, journal=path, concurrency=4).run(large_items(300)):
                    file.write(f"{outcome.key}\n")
            except errors.JournalError as error:
                file.write(f"{error}\n")
