"""Use everything at once for some minutes, with faults at random, and count what went wrong: `nox -s soak`.

Streams, batches and transfers run beside each other, over http and https, against emulators in a process of their own.
Every event, final result and byte is known beforehand. What the table calls lost, repeated, out of order, wrong,
failed or leaked must be zero; the exit status is 1 otherwise. `nox -s soak -- 60 --seed 7` is shorter, and meets
the same faults with the same probabilities; their order depends on the time that everything takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from expected import expected_events, expected_result
from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.batch.settings import Tuning
from rebyte_async.types import TaskEvent

STREAMS, BATCHES, TRANSFERS = 20, 2, 4
"""How many of each run at once, for each scheme."""
PATIENT = RetryPolicy(max_attempts=12, base_delay=0.01, max_delay=0.5, budget=1e9)
TIMEOUTS = Timeouts(connect=20, read=30, create=30, stream_idle=5)  # a busy machine may take some seconds
LONGEST_END = 60  # seconds until work that was begun in time must have ended
MAX_GROWTH = 32  # MiB that the process may grow by from its middle to its end
KINDS = ("streams", "batches", "transfers")
COLUMNS = ("runs", "events", "ambiguous", "reconnects", "lost", "repeated", "out of order", "wrong", "failed")
FAULTLESS = ("lost", "repeated", "out of order", "wrong", "failed")


@dataclass
class Soak:
    """The figures of a run, for each kind of work, and what went wrong."""

    seed: int
    until: float
    counts: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    problems: list[str] = field(default_factory=list[str])
    numbers: Counter[str] = field(default_factory=Counter[str])

    def count(self, kind: str, what: str, number: int = 1, detail: str = "") -> None:
        self.counts.setdefault(kind, Counter())[what] += number
        if detail and number and len(self.problems) < 20:
            self.problems.append(f"{kind}, {what}: {detail}")

    def name(self, kind: str) -> str:
        """Return a prompt that no other run has."""
        self.numbers[kind] += 1
        return f"{kind} {self.seed}-{self.numbers[kind]}"

    def compare(self, kind: str, expected: list[tuple[str, str]], seen: list[tuple[str, str]]) -> None:
        """Count how the events that came differ from those that should have come."""
        lost, more = Counter(expected) - Counter(seen), Counter(seen) - Counter(expected)
        self.count(kind, "events", len(seen))
        self.count(kind, "lost", lost.total(), f"{expected[0][1]}: {list(lost)[:2]}")
        self.count(kind, "repeated", more.total(), f"{expected[0][1]}: {list(more)[:2]}")
        if not lost and not more and expected != seen:
            self.count(kind, "out of order", 1, expected[0][1])

    def check(self, kind: str, found: object, expected: object, detail: str) -> None:
        if found != expected:
            self.count(kind, "wrong", 1, f"{detail}: {found!r:.200}, not {expected!r:.200}")


def mark_of(event: TaskEvent) -> tuple[str, str]:
    """Return the type and the mark of an event, as the scripted agent gave them."""
    payload = event.payload
    kind = "delta" if payload.get("is_delta") else event.event_type
    return kind, str(payload.get("content") or payload.get("session_id") or payload.get("id"))


# --- The work ---


async def follow(soak: Soak, client: AsyncRebyte, chance: random.Random) -> None:
    """Follow a task in one of several ways, and compare what came."""
    prompt = soak.name("streams")
    task = await client.tasks.create(prompt)
    manner = chance.choice(["whole", "closed", "disconnected", "cancelled"])
    seen: list[tuple[str, str]] = []
    cursor: str | None = None
    done = None
    while done is None:
        async with client.tasks.events(task.id, after=cursor) as stream:
            left = chance.randint(0, 20)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, 0.3) if manner == "cancelled" else None):
                    async for event in stream:
                        seen.append(mark_of(event))
                        left -= 1
                        if manner == "disconnected" and left == 0:
                            stream.disconnect()
                        if manner == "closed" and left == 0:
                            break
            cursor, done = stream.cursor, stream.done
            soak.count("streams", "reconnects", stream.reconnects)
    soak.compare("streams", expected_events(prompt), seen)
    soak.check("streams", (done.status, done.final_result), ("completed", expected_result(prompt)), prompt)


async def run_batch(soak: Soak, client: AsyncRebyte, chance: random.Random) -> None:
    """Run a batch, at times in two runs, and check the outcome of each item."""
    items = [BatchItem(str(number), soak.name("batches")) for number in range(20)]
    outcomes: dict[str, tuple[str, str | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"journal": Path(folder) / "j.sqlite3", "concurrency": 8, "reconcile_settle": 0.1}
        for stop_after in (chance.choice([None, chance.randint(0, 15)]), None):
            runner = BatchRunner(client, **options, _tuning=Tuning(clock_slack=2, first_retry_delay=0.05))
            outcomes.clear()
            async with runner.run(items) as run:
                async for outcome in run:
                    soak.count("batches", "repeated", outcome.key in outcomes, f"the outcome of {outcome.key}")
                    outcomes[outcome.key] = (outcome.status, outcome.final_result or outcome.error)
                    if len(outcomes) == stop_after:
                        break
            if stop_after is None:
                break
    soak.count("batches", "lost", len(items) - len(outcomes), items[0].prompt)
    for item in items:
        soak.check("batches", outcomes.get(item.key), ("completed", expected_result(item.prompt)), item.prompt)


def names_in(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


async def transfer(soak: Soak, client: AsyncRebyte, chance: random.Random) -> None:
    """Send a file with a task, upload it as an artifact, download and read it, and compare the bytes."""
    prompt = soak.name("transfers")
    size = chance.choice([0, 10_000, 100_000, 1_000_000] if chance.random() < 0.98 else [9 << 20])
    data = chance.randbytes(size + soak.numbers["transfers"])  # each has a length of its own
    name = chance.choice(["a.bin", "b/ü 1.txt"])
    task = await client.tasks.create(prompt, files=[("in.bin", data)])
    result = await client.tasks.events(task.id).until_done()
    soak.check("transfers", result.final_result, hashlib.sha256(data).hexdigest(), prompt)
    workspace = str(task.workspace_id)
    await client.artifacts.upload(workspace, (name, data))
    with tempfile.TemporaryDirectory() as folder:
        path = await client.artifacts.download(workspace, name, Path(folder) / "file")
        soak.check("transfers", path.read_bytes() == data, expected=True, detail=f"{prompt}: download")
        soak.check("transfers", names_in(folder), ["file"], f"{prompt}: temporary files")
    soak.check("transfers", await client.artifacts.read(workspace, name) == data, expected=True, detail=prompt)
    await client.artifacts.delete_all(workspace)


Work = Callable[[Soak, AsyncRebyte, random.Random], Awaitable[None]]
WORK: dict[str, tuple[int, Work]] = {
    "streams": (STREAMS, follow), "batches": (BATCHES, run_batch), "transfers": (TRANSFERS, transfer),
}  # fmt: skip


async def keep_working(soak: Soak, kind: str, client: AsyncRebyte, chance: random.Random) -> None:
    work = WORK[kind][1]
    while time.monotonic() < soak.until:
        try:
            await work(soak, client, chance)
        except errors.AmbiguousRequestError:
            soak.count(kind, "ambiguous")  # a create that was lost: what it must not be is repeated
        except Exception as error:  # noqa: BLE001 - every other failure is counted
            where = traceback.extract_tb(error.__traceback__)[-1]
            soak.count(kind, "failed", 1, f"{type(error).__name__}: {error} ({where.name}, {where.lineno})")
        soak.count(kind, "runs")


# --- The process ---


@contextlib.asynccontextmanager
async def serving(
    *arguments: str, prefix: tuple[str, ...] = ()
) -> AsyncGenerator[tuple[list[dict[str, str]], Callable[[], Awaitable[Any]]]]:
    """Run the scripted server; yield its addresses, and a function that asks it for its report."""
    command = (*prefix, sys.executable, str(Path(__file__).parent / "scripted_server.py"), *arguments)
    pipe = subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 28)
    assert server.stdin is not None
    assert server.stdout is not None
    stdin, stdout = server.stdin, server.stdout

    async def report() -> Any:
        stdin.write(b"\n")
        return json.loads(await stdout.readline())

    try:
        yield json.loads(await stdout.readline()), report
    finally:
        stdin.close()
        await server.wait()


def resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def watch_memory(soak: Soak, seconds: float) -> list[float]:
    """Return the memory of the process after a tenth of the time, in its middle, and at its end."""
    sizes: list[float] = []
    for part in (0.1, 0.5, 1.0):
        await asyncio.sleep(max(0.0, soak.until - seconds * (1 - part) - time.monotonic()))
        sizes.append(resident_mebibytes())
    return sizes


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def find_leaks(files_before: int) -> dict[str, int]:
    """Return what is left after the clients were closed, once sockets that are being closed had time for it."""
    tasks = files = 0
    for _ in range(50):
        gc.collect()
        tasks = len(asyncio.all_tasks()) - 1
        files = open_files() - files_before
        if not tasks and files <= 0:
            break
        await asyncio.sleep(0.1)
    return {"tasks": tasks, "files and sockets": max(0, files)}


async def soak_for(seconds: float, seed: int, folder: Path) -> bool:
    """Run the soak and print its table; return whether nothing went wrong."""
    soak = Soak(seed, time.monotonic() + seconds)
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    sys.unraisablehook = lambda unraisable: complaints.append(repr(unraisable.exc_value))
    warnings.simplefilter("error")
    arguments = ("--plain", "--certificate", str(folder / "server.pem"), "--faults", str(seed))
    async with serving(*arguments) as (addresses, report):
        files_before = open_files()
        memory = asyncio.create_task(watch_memory(soak, seconds))
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    AsyncRebyte(address["key"], base_url=address["url"], retry=PATIENT, timeouts=TIMEOUTS)
                )
                for address in addresses
            ]
            work = [
                asyncio.create_task(keep_working(soak, kind, client, random.Random(f"{seed}-{number}")), name=kind)
                for number, (kind, client) in enumerate(workers(clients))
            ]
            _, stuck = await asyncio.wait(work, timeout=seconds + LONGEST_END)
            for task in stuck:
                soak.count(task.get_name(), "failed", 1, f"stuck at {describe_wait(task)}")
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            retries = sum(client.stats().retries for client in clients)
        sizes = await memory
        leaks = await find_leaks(files_before)
        for created in (await report())["creates"]:
            for prompt, number in created.items():
                soak.count(prompt.split()[0], "repeated", number - 1, f"{number} tasks for {prompt}")
    print_table(soak)
    print(f"retries: {retries}; leaked:", ", ".join(f"{number} {what}" for what, number in leaks.items()))
    print("memory after a tenth, a half and all of the time:", ", ".join(f"{size:.0f} MiB" for size in sizes))
    print(*(f"  {complaint:.500}" for complaint in complaints[:10]), sep="\n") if complaints else None
    is_flat = sizes[-1] - sizes[1] < MAX_GROWTH
    wrong = sum(counts[column] for counts in soak.counts.values() for column in FAULTLESS)
    return not (wrong or any(leaks.values()) or complaints) and is_flat


def workers(clients: list[AsyncRebyte]) -> Iterable[tuple[str, AsyncRebyte]]:
    for kind, (number, _) in WORK.items():
        yield from ((kind, client) for client in clients for _ in range(number))


def describe_wait(task: asyncio.Task[None]) -> str:
    """Return the functions that a task waits in, the outermost first."""
    waiting: Any = task.get_coro()
    names: list[str] = []
    while (code := getattr(waiting, "cr_code", None) or getattr(waiting, "ag_code", None)) is not None:
        names.append(code.co_qualname)
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return " > ".join([*names, repr(waiting)[:100]])


def print_table(soak: Soak) -> None:
    print("".ljust(10), *(column.rjust(12) for column in COLUMNS))
    for kind in KINDS:
        print(kind.ljust(10), *(str(soak.counts.get(kind, Counter())[column]).rjust(12) for column in COLUMNS))
    print(*(f"  {problem:.500}" for problem in soak.problems), sep="\n") if soak.problems else None


def write_certificates(folder: Path, *hosts: str) -> None:
    """Make a certificate for hosts, and have every client of this process trust who issued it."""
    authority = trustme.CA()
    authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    os.environ["SSL_CERT_FILE"] = str(folder / "authority.pem")  # before aiohttp is imported, which reads it then


def main() -> int:
    parser = argparse.ArgumentParser("nox -s soak --", description="Use the package under random faults.")
    parser.add_argument("seconds", type=float, nargs="?", default=600, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    with tempfile.TemporaryDirectory() as name:
        write_certificates(Path(name), "127.0.0.1")
        return 0 if asyncio.run(soak_for(options.seconds, options.seed, Path(name))) else 1


if __name__ == "__main__":
    sys.exit(main())
