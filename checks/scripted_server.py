"""The emulator in its own process, with an agent whose every event is known from its prompt, and faults at random.

`soak.py` and `partition.py` start it. It prints a line of JSON with the address and the key of each emulator. For each
line on its standard input it prints another, with the number of tasks for each prompt. It ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import ssl
import sys
from collections.abc import Callable
from typing import Any

from attrs import evolve

from expected import expected_events
from rebyte_async import emulator as emu
from rebyte_async.emulator import faults

QUIET = 120.0  # seconds that the agent does nothing after its first event, where the prompt begins with `quiet`
CREATES = emu.Match("POST", "/tasks", probability=0.02)


def play(turn: emu.Turn) -> emu.Steps:
    """Return the steps of a turn: those of its prompt, or a digest of the file that came with it."""
    if turn.files:
        return [emu.text(hashlib.sha256(turn.read(turn.files[0])).hexdigest())]
    chance = random.Random(turn.prompt)
    pace = 1.0 if turn.prompt.startswith("slow") else chance.choice([0, 0, 0.001, 0.01])
    steps = [step for kind, mark in expected_events(turn.prompt) for step in (make_step(kind, mark), emu.pause(pace))]
    return [*steps[:2], emu.pause(QUIET), *steps[2:]] if turn.prompt.startswith("quiet") else steps


def make_step(kind: str, mark: str) -> emu.Step:
    if kind == "init":
        return emu.init(mark)
    if kind == "tool_use":
        return emu.tool_use("bash", {"command": "ls"}, tool_id=mark)
    if kind == "tool_result":
        return emu.tool_result("ok", tool_id=mark)
    return {"text": emu.text, "delta": emu.delta, "thinking": emu.thinking}[kind](mark)


def is_repeatable(exchange: Any) -> bool:
    """Whether a request is no stream, and none that starts an agent."""
    return not exchange.path.endswith("/events") and (exchange.request.method, exchange.path) != ("POST", "/tasks")


def make_once(key: Callable[[Any], object]) -> Callable[[Any], bool]:
    """Make a condition that holds once for each key: of what a client recovers from once, but not twice in a row."""
    seen = set[object]()

    def is_first(exchange: Any) -> bool:
        number = len(seen)
        seen.add(key(exchange))
        return len(seen) > number

    return is_first


def task_of(exchange: Any) -> object:
    return exchange.path


def upload_of(exchange: Any) -> object:
    """Return what an upload has in common with its repetition at another URL: the soak's files differ in length."""
    return exchange.path.startswith("/uploads/"), exchange.request.content_length


def add_faults(registry: emu.FaultRegistry, seed: int) -> None:
    """Trouble some of all requests, each in a way that a client can recover from without a loss."""
    registry.seed = seed
    streams = r"/tasks/[^/]+/events"
    for fault in (
        faults.Cut(2), faults.Cut(5, "eof"), faults.Cut(9, "clean"), faults.Cut(0), faults.NoDone(), faults.EmptyDone(),
        faults.CutBytes(1000), faults.CutBytes(3333, "eof"), faults.Split(7, seed=seed), faults.Duplicate(),
        faults.EarlyDone(1), faults.EarlyDone(2, final_result=False), faults.Status(500), faults.Drop(),
        faults.Drop(reset=False), faults.HtmlPage(),
    ):  # fmt: skip
        registry.add(fault, emu.Match("GET", streams, probability=0.02), times=None)
    registry.add(faults.Silence(3), emu.Match("GET", streams, also=make_once(task_of), probability=0.005), times=None)
    for request_fault in (
        faults.Status(500),
        faults.HtmlPage(503),
        faults.Drop(),
        faults.Drop("after"),
        faults.Delay(0.2),
    ):
        registry.add(request_fault, emu.Match(also=is_repeatable, probability=0.02), times=None)
    registry.add(faults.Status(429, headers={"Retry-After": "0"}), emu.Match(probability=0.005), times=None)
    for create_fault in (faults.Drop(), faults.Drop("after"), faults.Status(500, when="after"), faults.HtmlPage(502)):
        registry.add(create_fault, CREATES, times=None)
    downloads = (faults.CutBytes(20_000), faults.WrongLength(), faults.NoRanges(), faults.Split(5000, seed=seed))
    for download_fault in downloads:
        match = evolve(faults.DOWNLOADS, probability=0.05)
        registry.add(download_fault, match, times=None)
    uploads = emu.Match("PUT", origin="storage", also=make_once(upload_of), probability=0.03)
    registry.add(faults.ExpiredUrl(), uploads, times=None)


def add_delays(registry: emu.FaultRegistry) -> None:
    """Make some requests slow enough to be cut off in their middle."""
    registry.add(faults.Delay(300), emu.Match("GET", "/agent-computers"), times=None)
    registry.add(faults.Delay(8), emu.Match("POST", "/tasks", body="delayed"), times=None)
    registry.add(faults.Slow(0.1), times=None)


async def serve(host: str, certificate: str | None, seed: int | None, *, plain: bool, delays: bool) -> None:
    """Run one emulator for each scheme until the standard input ends."""
    contexts: list[ssl.SSLContext | None] = [None] if plain else []
    if certificate:
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secure.load_cert_chain(certificate)
        contexts.append(secure)
    async with contextlib.AsyncExitStack() as stack:
        emulators: list[emu.Emulator] = []
        for context in contexts:
            emulator = await stack.enter_async_context(emu.Emulator(host=host, ssl=context, pace=0, log_limit=1000))
            emulator.script(play, times=None)
            emulators.append(emulator)
            if seed is not None:
                add_faults(emulator.faults, seed)
            if delays:
                add_delays(emulator.faults)
        report([{"url": emulator.url, "key": emulator.api_key} for emulator in emulators])
        while await asyncio.to_thread(sys.stdin.readline):
            report({"creates": [count_creates(emulator) for emulator in emulators]})


def count_creates(emulator: emu.Emulator) -> dict[str, int]:
    """Return how many tasks there are for each prompt."""
    counts: dict[str, int] = {}
    for task in emulator.tasks:
        counts[task.prompts[0]] = counts.get(task.prompts[0], 0) + 1
    return counts


def report(document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--certificate", help="a PEM with key and certificate, to serve https with")
    parser.add_argument("--plain", action="store_true", help="serve plain http too")
    parser.add_argument("--faults", type=int, help="the seed of random faults (default: none)")
    parser.add_argument("--delays", action="store_true", help="make some requests slow")
    given = parser.parse_args()
    asyncio.run(serve(given.host, given.certificate, given.faults, plain=given.plain, delays=given.delays))
