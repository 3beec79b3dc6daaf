"""Batches for tests."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import evolve

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchOutcome, BatchRun, BatchRunner
from rebyte_async.batch.settings import Tuning
from rebyte_async.emulator import Emulator

__all__ = ["creates", "items", "keys_into", "outcomes_of", "rows", "runner_of", "supplied", "texts"]


QUICK_TUNING = Tuning(
    first_poll_interval=0.02,
    longest_poll_interval=0.1,
    first_retry_delay=0.01,
    longest_retry_delay=0.05,
    not_found_grace=0.1,
)


def items(count: int, prompt: str = "Do {}", **options: Any) -> list[BatchItem]:
    """`count` items with the keys k0, k1 and so on."""
    return [BatchItem(f"k{number}", prompt.format(number), **options) for number in range(count)]


def supplied(kind: str, supply: Callable[[], Iterator[BatchItem]]) -> Any:
    """What a generator function yields and raises, as a `kind` of iterable: list, generator or async."""

    async def asynchronously() -> AsyncIterator[BatchItem]:
        for item in supply():
            yield item

    class Listed(list[BatchItem]):
        def __iter__(self) -> Iterator[BatchItem]:
            return supply()

    kinds: dict[str, Callable[[], Any]] = {"list": Listed, "generator": supply, "async": asynchronously}
    return kinds[kind]()


def runner_of(client: AsyncRebyte, *, tuning: dict[str, Any] | None = None, **options: Any) -> BatchRunner:
    """A runner that hardly waits."""
    options.setdefault("reconcile_settle", 0.05)
    return BatchRunner(client, _tuning=evolve(QUICK_TUNING, **(tuning or {})), **options)


async def outcomes_of(
    runner: BatchRunner, given: Iterable[BatchItem] | AsyncIterable[BatchItem], **options: Any
) -> dict[str, BatchOutcome]:
    """Run a batch, and return its outcomes by key."""
    found: dict[str, BatchOutcome] = {}
    async for outcome in runner.run(given, **options):
        assert outcome.key not in found
        found[outcome.key] = outcome
    return found


async def keys_into(seen: list[str], run: BatchRun) -> None:
    """Read a run to its end or its error, and append the keys to `seen`."""
    async for outcome in run:
        seen.append(outcome.key)  # noqa: PERF401 - what came before an error counts


def creates(emulator: Emulator) -> int:
    """How many creates were sent."""
    return len(emulator.log.select("POST", "/tasks"))


def texts(emulator: Emulator) -> list[str]:
    """The first prompts of all tasks, sorted."""
    return sorted(task.prompts[0] for task in emulator.tasks)


def rows(journal: Path, columns: str, table: str = "items") -> list[tuple[Any, ...]]:
    """Columns of a journal's table, sorted by the first."""
    with closing(sqlite3.connect(journal)) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
