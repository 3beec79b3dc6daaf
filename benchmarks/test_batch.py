"""Ten thousand items against the emulator: items a second, CPU, memory, the journal, and what an item costs.

The emulator is a process of its own and mostly the slowest part: what a batch can do by itself is in the CPU an item,
and in the rate of the journal alone.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.batch.items import to_new_item
from rebyte_async.batch.journal import RunJournal, store_at
from rebyte_async.emulator import Emulator, pause, text
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier

if TYPE_CHECKING:
    from benchmarks.conftest import Figures

COUNTS = (100, 1_000, 10_000)
HERE = Path(__file__)


@contextmanager
def emulator(hold: int = 0) -> Generator[str]:
    """The URL of an emulator; with `hold` no task ends before that number of tasks is open."""
    server = [sys.executable, str(HERE.with_name("batch_server.py")), str(hold)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def run(url: str, journal: Path, count: int, *, concurrency: int = 256, max_streams: int = 256) -> dict[str, Any]:
    arguments = [url, str(journal), *map(str, (count, concurrency, max_streams))]
    command = [sys.executable, str(HERE.with_name("batch_client.py")), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["statuses"] == {"completed": count}, result
    return result


@pytest.mark.timeout(900)
def test_items(figures: Figures, tmp_path: Path) -> None:
    costs: dict[int, float] = {}
    for count in COUNTS:
        journal = tmp_path / f"{count}.sqlite3"
        with emulator() as url:
            first = run(url, journal, count)
            again = run(url, journal, count)
        costs[count] = first["cpu"] / count * 1000
        what = f"batch of {count:,}"
        figures.add(what, "items a second, with the emulator", count / first["seconds"])
        figures.add(what, "CPU an item, ms", costs[count])
        figures.add(what, "peak memory above the start, MiB", first["above"])
        figures.add(what, "journal, bytes an item", first["journal"] / count)
        figures.add(what, "items a second when all have ended", count / again["seconds"])
    figures.add("batch", "CPU an item at 10,000 beside 1,000", costs[10_000] / costs[1_000], aim=1.15, at_most=True)


@pytest.mark.timeout(900)
def test_open_tasks(figures: Figures, tmp_path: Path) -> None:
    """Ten thousand are open at once, 256 of them on streams; then they all end."""
    with emulator(hold=10_000) as url:
        result = run(url, tmp_path / "open.sqlite3", 10_000, concurrency=10_000)
    figures.add("batch of 10,000 at once", "items a second, with the emulator", 10_000 / result["seconds"])
    figures.add("batch of 10,000 at once", "peak memory, MiB", result["memory"])
    figures.add("batch of 10,000 at once", "peak memory above the start, KiB an item", result["above"] * 1024 / 10_000)


def test_the_journal_alone(figures: Figures, tmp_path: Path) -> None:
    """The four writes of an item, 64 items at once, on whatever disk the temporary folder is."""
    count, at_once = 5_000, 64

    async def one(journal: RunJournal, number: int) -> None:
        accepted: Any = await journal.accept([to_new_item(BatchItem(f"item-{number}", "Summarise it. " * 20))])
        (entry,) = accepted
        await journal.record_intent(entry, None, 1.0)
        await journal.record_task(entry, f"task-{number}", "workspace", 1.0)
        await journal.record_outcome(entry, "completed", final_result="Done. " * 20, now=2.0)

    async def main() -> tuple[float, float]:
        journal = RunJournal(store_at(tmp_path / "run.sqlite3"))
        await journal.begin_run()
        async with aclosing(journal.store):
            left = iter(range(count))

            async def work() -> None:
                for number in left:
                    await one(journal, number)

            wall, cpu = perf_counter(), process_time()
            await asyncio.gather(*(work() for _ in range(at_once)))
            return perf_counter() - wall, process_time() - cpu

    wall, cpu = asyncio.run(main())
    figures.add("the journal alone", "items a second", count / wall, aim=1_000)
    figures.add("the journal alone", "CPU an item, ms", cpu / count * 1000)


def test_requests(figures: Figures) -> None:
    """What 200 tasks of three seconds cost the service in requests, by how their ends are learnt."""

    async def requests(*, max_streams: int = 256, by_webhooks: bool = False) -> float:
        async with Emulator() as emulator, AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
            emulator.script(text("I am at it."), pause(3), text("Done."), times=None)
            async with WebhookReceiver(WebhookVerifier("s3cret")) as receiver, served(receiver) as url:
                await client.webhooks.create(url, ["task.completed", "task.failed"], secret="s3cret")
                hints = receiver if by_webhooks else None
                runner = BatchRunner(client, concurrency=200, max_streams=max_streams, receiver=hints)
                before = client.stats().requests
                async for outcome in runner.run(BatchItem(f"k{number}", f"Do {number}") for number in range(200)):
                    assert outcome.status == "completed"
                return (client.stats().requests - before) / 200

    figures.add("requests a task", "by streams", asyncio.run(requests()))
    figures.add("requests a task", "by reads alone", asyncio.run(requests(max_streams=0)))
    figures.add("requests a task", "by webhooks", asyncio.run(requests(by_webhooks=True)))


@asynccontextmanager
async def served(receiver: WebhookReceiver) -> AsyncGenerator[str]:
    app = web.Application()
    receiver.setup(app, "/")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()
