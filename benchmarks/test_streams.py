"""Streams over loopback sockets: one, 100 and 1,000 at once, beside the same in other clients.

The server and every contender are processes of their own, and the contenders take turns. CPU is that of a
contender's process alone; memory is what that process takes in for its streams.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from operator import truediv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from benchmarks.conftest import Figures

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
    pytest.mark.timeout(180),
]
HERE = Path(__file__).parent
MICRO, KIB = 1e6, 1024
OURS, BARE = "rebyte-async", "aiohttp + split + json"
HTTPX, HTTPX_AIOHTTP = "httpx-sse + json", "httpx-aiohttp + httpx-sse + json"

Figure = dict[str, float]


class Process:
    """A process that ends with its standard input."""

    def __init__(self, script: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{self.process.args!r} has ended"
        return line

    def end(self) -> None:
        self.process.communicate(timeout=30)


class Client(Process):
    """A contender in a process of its own; `stream_clients.Worker` explains its commands."""

    def say(self, *command: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Figure:
        figure: Figure = json.loads(self.line())
        return figure

    def command(self, *command: Any) -> Figure:
        self.say(*command)
        return self.hear()


class Server(Process):
    """The server, and the clients that speak to it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        certificate = folder / "certificate.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        super().__init__("stream_server.py", str(certificate))
        self.port, self.tls_port = map(int, self.line().split())

    @contextmanager
    def client(self, name: str, *flags: str, tls: bool = False) -> Generator[Client]:
        url = f"https://localhost:{self.tls_port}" if tls else f"http://127.0.0.1:{self.port}"
        client = Client("stream_clients.py", name, url, *flags, SSL_CERT_FILE=str(self.authority))
        try:
            yield client
        finally:
            client.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("streams"))
    yield server
    server.end()


def plan(kind: str, events: int = 10, *, chunk: int = 0, rate: float = 0, keys: bool = True) -> str:
    return f"{kind}-{events}-{chunk}-{rate:g}-{int(keys)}"


def best(measured: list[Figure], what: str) -> float:
    """The least of it for an event, in µs."""
    return min(figure[what] / figure["events"] for figure in measured) * MICRO


def race_busy(
    server: Server, streams: int, events: int, rounds: dict[str, int], *, chunk: int = 0, keys: bool = True
) -> dict[str, list[Figure]]:
    """Let contenders take turns to read a number of streams of a number of events to their ends, several times each."""
    measured: dict[str, list[Figure]] = defaultdict(list)
    with ExitStack() as stack:
        clients = {name: stack.enter_context(server.client(name)) for name in rounds}
        for turn in range(max(rounds.values())):
            for name, client in clients.items():
                if turn < rounds[name]:
                    client.command("open", streams, plan("busy", events, chunk=chunk, keys=keys))
                    measured[name].append(client.command("read", server.port))
                    assert measured[name][-1]["events"] == streams * (events - 1)
    return measured


def note_busy(figures: Figures, what: str, measured: dict[str, list[Figure]], aims: dict[str, float]) -> None:
    for name, found in measured.items():
        figures.add(f"{what}, {name}", "thousand events/s", 1e3 / best(found, "seconds"))
        figures.add(f"{what}, {name}", "µs of CPU an event", best(found, "cpu"))
    ours = best(measured[OURS], "seconds")
    for name, found in measured.items():
        if name != OURS:
            aim = None if name == BARE else aims.get(name)  # that one is for the CPU
            figures.add(f"{what}, events/s", f"times {name}", best(found, "seconds") / ours, aim=aim)
    ratio = best(measured[OURS], "cpu") / best(measured[BARE], "cpu")
    figures.add(f"{what}, CPU", f"times {BARE}", ratio, aim=aims.get(BARE), at_most=True)


QUICK = {OURS: 5, BARE: 5, HTTPX_AIOHTTP: 5}
"""How often the contenders that are quick take their turn. The others' times don't depend on a lucky moment."""


def test_a_replay(server: Server, figures: Figures) -> None:
    rounds = {OURS: 5, "openai": 2, "anthropic": 1, HTTPX: 3, HTTPX_AIOHTTP: 5, BARE: 5}
    measured = race_busy(server, 1, 10_000, rounds, chunk=16_384)
    note_busy(figures, "1 stream, 16 KiB chunks", measured, {"openai": 17, HTTPX_AIOHTTP: 1, BARE: 2.2})


@pytest.mark.parametrize("keys", [True, False], ids=["keys", "numbers"])
def test_one_stream(server: Server, figures: Figures, keys: bool) -> None:
    rounds = {OURS: 5, "openai": 2, "anthropic": 1, HTTPX: 3, HTTPX_AIOHTTP: 5, BARE: 5}
    measured = race_busy(server, 1, 10_000, rounds if keys else QUICK, keys=keys)
    aims = {"openai": 22, HTTPX_AIOHTTP: 1.45, BARE: 1.55} if keys else {}
    note_busy(figures, "1 stream" if keys else "1 stream without event keys", measured, aims)


def test_a_hundred_streams(server: Server, figures: Figures) -> None:
    rounds = {OURS: 5, "openai": 2, "anthropic": 2, HTTPX: 2, HTTPX_AIOHTTP: 4, BARE: 4}
    note_busy(figures, "100 streams", race_busy(server, 100, 100, rounds), {HTTPX_AIOHTTP: 1.1})


def test_a_thousand_streams(server: Server, figures: Figures) -> None:
    rounds = {OURS: 3, "openai": 2, "anthropic": 1, HTTPX: 1, HTTPX_AIOHTTP: 3, BARE: 3}
    measured = race_busy(server, 1000, 20, rounds)
    note_busy(figures, "1,000 streams", measured, {"openai": 20, HTTPX_AIOHTTP: 1.2})
    for name, found in measured.items():
        figures.add(f"1,000 streams, {name}", "KiB each at the peak", found[0]["peak"] / 1000 / KIB)


def follow(
    server: Server, figures: Figures, streams: int, rate: float, other: str, *flags: str, rounds: int = 4
) -> float:
    """Note what an event costs that comes by itself, as in real life: the whole way from the socket for each.

    Both clients read at the same time, so that whatever else slows the machine down slows down both.

    Returns:
        The median of how often ours takes the CPU of the other.
    """
    names = (OURS, other)
    cost: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client(name, *flags)) for name in names]
        for _ in range(rounds):
            for client in clients:
                client.command("open", streams, plan("live", 100, rate=rate))
            for client in clients:
                client.say("follow", server.port, 1.5)
            for name, client in zip(names, clients, strict=True):
                figure = client.hear()  # the server counts the events of both
                cost[name].append(figure["cpu"] / figure["events"] * len(clients) * MICRO)
    what = ", ".join((f"{streams:,} live streams", *flags))
    for name in names:
        figures.add(f"{what}, beside {other}: {name}", "µs of CPU an event", statistics.median(cost[name]))
    return statistics.median(map(truediv, *cost.values()))


def test_a_hundred_live_streams(server: Server, figures: Figures) -> None:
    for other in ("openai", HTTPX, HTTPX_AIOHTTP, BARE):
        ratio = follow(server, figures, 100, 20, other)
        aim = 1.15 if other == BARE else None
        figures.add("100 live streams, ours", f"times the CPU of {other}", ratio, aim=aim, at_most=True)


def test_a_thousand_live_streams(server: Server, figures: Figures) -> None:
    what = f"times the CPU of {BARE}"
    ratio = follow(server, figures, 1000, 4, BARE, rounds=8)
    figures.add("1,000 live streams, ours", what, ratio, aim=1.15, at_most=True)
    ratio = follow(server, figures, 1000, 4, BARE, "uvloop", rounds=8)
    figures.add("1,000 live streams, both on uvloop", what, ratio, aim=1.15, at_most=True)
    ratio = follow(server, figures, 1000, 4, BARE, "no-orjson", rounds=8)
    figures.add("1,000 live streams, both without orjson", what, ratio, aim=1.15, at_most=True)
    ratio = follow(server, figures, 1000, 4, HTTPX_AIOHTTP)
    figures.add("1,000 live streams, ours", f"times the CPU of {HTTPX_AIOHTTP}", ratio, aim=0.55, at_most=True)


def test_a_call_beside_a_thousand_streams(server: Server, figures: Figures) -> None:
    with server.client(OURS) as client:
        client.command("open", 1000, plan("live", 20, rate=5))
        idle = client.command("get", 20)["seconds"]
        busy = client.command("read_and_get", server.port, 50)["seconds"]
    figures.add("slowest GET beside 1,000 idle streams", "ms", idle * 1000, aim=500, at_most=True)
    figures.add("slowest GET beside 1,000 live streams", "ms", busy * 1000, aim=500, at_most=True)


def each(server: Server, name: str, streams: int, *flags: str, tls: bool = False) -> float:
    """Return the KiB that one of a number of idle streams takes."""
    with server.client(name, *flags, tls=tls) as client:
        client.command("open", 3, plan("idle"))  # so that what the process needs anyway is loaded
        return client.command("open", streams, plan("idle"))["memory"] / streams / KIB


def test_idle_streams(server: Server, figures: Figures) -> None:
    ours, bare = (each(server, name, 5000) for name in (OURS, BARE))
    figures.add(f"5,000 idle streams, {OURS}", "KiB each", ours)
    figures.add(f"5,000 idle streams, {BARE}", "KiB each", bare)
    figures.add("5,000 idle streams, memory", f"times {BARE}", ours / bare, aim=1.2, at_most=True)


def test_idle_streams_over_tls(server: Server, figures: Figures) -> None:
    what = "500 idle streams over TLS"
    names = (OURS, "openai", BARE, "aiohttp, no tickets", "aiohttp, TLS 1.2")
    for name in names:
        aim = 80 if name == OURS else None
        figures.add(f"{what}, asyncio, {name}", "KiB each", each(server, name, 500, tls=True), aim=aim, at_most=True)
    many = each(server, OURS, 2000, tls=True)
    figures.add(f"2,000 idle streams over TLS, asyncio, {OURS}", "KiB each", many, aim=62, at_most=True)
    for name in (OURS, BARE):
        figures.add(f"{what}, uvloop, {name}", "KiB each", each(server, name, 500, "uvloop", tls=True))


def test_streams_that_nobody_reads(server: Server, figures: Figures) -> None:
    held: dict[str, float] = {}
    for name in (OURS, BARE):
        with server.client(name) as client:
            client.command("open", 1, plan("idle"))
            client.command("close")
            client.command("open", 50, plan("busy", 20_000))
            held[name] = client.command("neglect", server.port, 2)["memory"] / 50 / KIB
        figures.add(f"an unread stream, {name}", "KiB", held[name])
    figures.add("an unread stream, memory", f"times {BARE}", held[OURS] / held[BARE], aim=0.5, at_most=True)


def test_opening_and_closing(server: Server, figures: Figures) -> None:
    measured: dict[str, float] = {}
    with ExitStack() as stack:
        clients = {name: stack.enter_context(server.client(name)) for name in (OURS, "openai", BARE)}
        for _ in range(4):
            for name, client in clients.items():
                opened = client.command("open", 300, plan("idle"))["cpu"]
                cost = (opened + client.command("close")["cpu"]) / 300 * 1000
                measured[name] = min(measured.get(name, cost), cost)
    for name, cost in measured.items():
        aim = 1 if name == OURS else None
        figures.add(f"opening and closing one of 300 streams, {name}", "ms of CPU", cost, aim=aim, at_most=True)
    ratio = measured[OURS] / measured[BARE]
    figures.add("opening and closing a stream, CPU", f"times {BARE}", ratio, aim=1.45, at_most=True)
