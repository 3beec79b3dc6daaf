"""Summarise every text file of a folder, each once, however often this is killed and started again.

python examples/batch.py reports/ run.sqlite3
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Iterator


def items(folder: Path) -> Iterator[BatchItem]:
    """An item for each file. Its key is the file's name, so that it is the same one in the next run."""
    for path in sorted(folder.glob("*.txt")):
        yield BatchItem(path.name, f"Summarise the attached {path.name}", files=[path])


async def main(folder: Path, journal: Path) -> int:
    """Run the batch, or the rest of it.

    Returns:
        How many items have no summary.
    """
    missing = 0
    async with AsyncRebyte() as client:
        # Never more than 100 tasks in one run, whatever is in the folder: each costs money.
        runner = BatchRunner(client, journal=journal, concurrency=16, max_new_tasks=100)
        try:
            async for outcome in runner.run(items(folder)):
                print(f"{outcome.key}: [{outcome.status}] {outcome.final_result or outcome.error or ''}")
                missing += outcome.status != "completed"
        except BatchError as error:
            print(f"the batch can't continue: {error}", file=sys.stderr)
            return missing + 1
    return missing


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))))
