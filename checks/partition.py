"""Cut the network under everything that can be in flight, heal it, and see what was noticed when: `nox -s partition`.

A client, a router and servers are in network namespaces of their own, which takes root, Linux and `ip`. The router
drops packets without a word, as one that forgot a connection does: in both directions, or in one of them. The table
shows after how many seconds the client noticed, and what was lost, repeated, wrong or leaked, all of which must be
zero; the exit status is 1 otherwise, and where network namespaces can't be made. It takes about four minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expected import expected_events
from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors
from soak import find_leaks, mark_of, open_files, serving, write_certificates

CUT_FOR = 105.0  # seconds: beyond the 90 s within which a lost connection must be noticed
NOTICED_WITHIN = 90.0
LONGEST_END = 120.0  # seconds after the cut is healed
LONG = Timeouts(read=600)  # so that TCP alone ends a call
ONCE = RetryPolicy(max_attempts=1)
PATIENT = RetryPolicy(max_attempts=20)  # the cut is longer than the default policy keeps trying
NEEDED = "nothing was checked: it takes Linux, root, `ip` (of iproute2) and the right to make network namespaces"
CLIENT = "10.79.1.2"
CUTS = {"both ways": "10.79.2.2", "to the server": "10.79.2.3", "to the client": "10.79.2.4"}
"""For each cut, the address of the server that it separates."""


@dataclass
class Case:
    """One thing in flight while the network is cut."""

    scenario: str
    cut: str
    client: AsyncRebyte
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    noticed: float | None = None
    """Seconds from the cut until the client gave up the connection."""
    counts: Counter[str] = field(default_factory=Counter[str])
    problem: str = ""

    @property
    def prompt(self) -> str:
        return f"{self.scenario}, {self.cut}"

    def compare(self, expected: list[tuple[str, str]], seen: list[tuple[str, str]]) -> None:
        self.counts["lost"] += (Counter(expected) - Counter(seen)).total()
        self.counts["repeated"] += (Counter(seen) - Counter(expected)).total()
        self.counts["wrong"] += expected != seen

    async def watch(self, has_noticed: Callable[[], bool], cut_at: float) -> None:
        """Note when the client notices, if it does before the network is healed."""
        while not has_noticed() and time.monotonic() < cut_at + CUT_FOR:  # noqa: ASYNC110 - statistics send no event
            await asyncio.sleep(0.02)
        if has_noticed():
            self.noticed = time.monotonic() - cut_at


@dataclass
class Network:
    """The namespaces, and when the cut was."""

    name: str
    is_cut: asyncio.Event = field(default_factory=asyncio.Event)
    cut_at: float = 0.0

    def rules(self) -> list[tuple[str, str]]:
        """Return the pairs of a source and a destination between which nothing passes."""
        to_servers = [(CLIENT, CUTS["both ways"]), (CLIENT, CUTS["to the server"])]
        return [*to_servers, (CUTS["both ways"], CLIENT), (CUTS["to the client"], CLIENT)]

    async def cut(self) -> None:
        for source, destination in self.rules():
            await run("ip", "-n", f"{self.name}-router", "rule", "add", "from", source, "to", destination, "blackhole")
        self.cut_at = time.monotonic()
        self.is_cut.set()

    async def heal(self) -> None:
        for source, destination in self.rules():
            await run("ip", "-n", f"{self.name}-router", "rule", "del", "from", source, "to", destination, "blackhole")


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")


# --- What is in flight ---


async def follow(case: Case, network: Network) -> None:
    """Follow a stream through the cut: one that is quiet, or one that brings an event each second."""
    task = await case.client.tasks.create(case.prompt)
    seen: list[tuple[str, str]] = []
    async with case.client.tasks.events(task.id) as stream, asyncio.TaskGroup() as group:
        async for event in stream:
            seen.append(mark_of(event))
            if len(seen) == 1:
                case.ready.set()
                group.create_task(watch_after(case, network, lambda: not case.client.stats().open_streams))
    case.compare(expected_events(case.prompt), seen)


async def watch_after(case: Case, network: Network, has_noticed: Callable[[], bool]) -> None:
    await network.is_cut.wait()
    await case.watch(has_noticed, network.cut_at)


async def wait_for_a_response(case: Case, network: Network) -> None:
    """Wait for a response that doesn't come: the request was read before the cut."""
    client = case.client.with_options(timeouts=LONG, retry=ONCE)
    asyncio.get_running_loop().call_later(2, case.ready.set)
    await expect_failure(case, network, client.agent_computers.list)


async def use_a_kept_connection(case: Case, network: Network) -> None:
    """Send a request after the cut on a connection that was kept from before."""
    client = case.client.with_options(timeouts=LONG, retry=ONCE)
    await client.tasks.list()
    case.ready.set()
    await network.is_cut.wait()
    await expect_failure(case, network, client.tasks.list)


async def expect_failure(case: Case, network: Network, call: Callable[[], Awaitable[object]]) -> None:
    try:
        await call()
    except errors.TransportError as error:
        case.noticed = time.monotonic() - network.cut_at
        case.counts["wrong"] += isinstance(error, errors.AmbiguousRequestError)
    else:
        case.counts["wrong"] += 1


async def create(case: Case, network: Network) -> None:
    """Have the response to a create cut off, which is ambiguous and not repeated; in one of the cuts it passes."""
    asyncio.get_running_loop().call_later(2, case.ready.set)
    try:
        await case.client.tasks.create(f"delayed {case.prompt}")
    except errors.AmbiguousRequestError:
        case.noticed = time.monotonic() - network.cut_at
    else:
        case.counts["wrong"] += case.cut != "to the server"


class SlowFile(io.BytesIO):
    """A file that takes a while to read."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.05)
        return super().read(min(size or 0, 1 << 16) if size != -1 else size)


async def upload(case: Case, network: Network) -> None:
    """Upload a file through the cut, and have the agent digest it."""
    data = os.urandom(8 << 20)
    asyncio.get_running_loop().call_later(2, case.ready.set)
    watching = asyncio.create_task(watch_after(case, network, lambda: case.client.stats().retries > 0))
    ref = await case.client.files.upload(SlowFile(data), filename="in.bin")
    await watching
    result = await case.client.tasks.run(case.prompt, files=[ref])
    case.counts["wrong"] += result.final_result != hashlib.sha256(data).hexdigest()


async def download(case: Case, network: Network) -> None:
    """Download a file through the cut."""
    data = os.urandom(8 << 20)
    task = await case.client.tasks.create(case.prompt)
    await case.client.artifacts.upload(str(task.workspace_id), ("a.bin", data))
    asyncio.get_running_loop().call_later(2, case.ready.set)
    watching = asyncio.create_task(watch_after(case, network, lambda: not case.client.stats().open_streams))
    with tempfile.TemporaryDirectory() as folder:
        path = await case.client.artifacts.download(str(task.workspace_id), "a.bin", folder)
        case.counts["wrong"] += await asyncio.to_thread(path.read_bytes) != data
    await watching


SCENARIOS: dict[str, Callable[[Case, Network], Awaitable[None]]] = {
    "quiet stream": follow,
    "slow stream": follow,
    "call, sent before": wait_for_a_response,
    "call, kept connection": use_a_kept_connection,
    "create": create,
    "upload": upload,
    "download": download,
}


# --- The run ---


async def run_case(case: Case, network: Network) -> None:
    try:
        async with asyncio.timeout(CUT_FOR + LONGEST_END + 30):
            await SCENARIOS[case.scenario](case, network)
    except Exception as error:  # noqa: BLE001 - every failure is shown
        case.counts["failed"] += 1
        case.problem = f"{type(error).__name__}: {error}"
    finally:
        case.ready.set()


async def run_inside(name: str, folder: Path) -> bool:
    """Run all cases in the client's namespace, and print their table; return whether nothing went wrong."""
    network = Network(name)
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    prefix = ("ip", "netns", "exec", f"{name}-server")
    async with contextlib.AsyncExitStack() as stack:
        cases: list[Case] = []
        reports: list[Callable[[], Awaitable[Any]]] = []
        servers = dict[str, dict[str, str]]()
        for cut, host in CUTS.items():
            arguments = ("--host", host, "--certificate", str(folder / "server.pem"), "--delays")
            (servers[cut],), report = await stack.enter_async_context(serving(*arguments, prefix=prefix))
            reports.append(report)
        files_before = open_files()
        async with contextlib.AsyncExitStack() as clients:
            for cut, address in servers.items():
                for scenario in SCENARIOS:
                    client = AsyncRebyte(address["key"], base_url=address["url"], retry=PATIENT)
                    cases.append(Case(scenario, cut, await clients.enter_async_context(client)))
            async with asyncio.TaskGroup() as group:
                for case in cases:
                    group.create_task(run_case(case, network))
                await asyncio.gather(*(case.ready.wait() for case in cases))
                await network.cut()
                await asyncio.sleep(CUT_FOR)
                await network.heal()
        leaks = await find_leaks(files_before)
        created = Counter[str]()
        for report in reports:
            created.update((await report())["creates"][0])
    for case in cases:
        case.counts["repeated"] += sum(max(0, n - 1) for prompt, n in created.items() if prompt.endswith(case.prompt))
    is_right = print_table(cases, leaks)
    print(*(f"  {complaint:.500}" for complaint in complaints[:10]), sep="\n") if complaints else None
    return is_right and not complaints


def print_table(cases: list[Case], leaks: dict[str, int]) -> bool:
    columns = ("lost", "repeated", "wrong", "failed")
    print("in flight".ljust(22), "cut".ljust(14), "noticed after", *(column.rjust(9) for column in columns))
    for case in cases:
        noticed = "not" if case.noticed is None else f"{case.noticed:.1f} s"
        counts = (str(case.counts[column]).rjust(9) for column in columns)
        print(case.scenario.ljust(22), case.cut.ljust(14), noticed.rjust(13), *counts, case.problem)
    print("leaked:", ", ".join(f"{number} {what}" for what, number in leaks.items()))
    late = [case for case in cases if case.noticed is not None and case.noticed > NOTICED_WITHIN]
    wrong = sum(case.counts[column] for case in cases for column in columns)
    return not (wrong or late or any(leaks.values()))


def set_up(name: str) -> None:
    """Make the namespaces: a client and servers, with a router between them."""
    script = f"""
ip netns add {name}-client
ip netns add {name}-router
ip netns add {name}-server
ip link add eth0 netns {name}-client type veth peer name client netns {name}-router
ip link add eth0 netns {name}-server type veth peer name server netns {name}-router
ip -n {name}-client addr add {CLIENT}/24 dev eth0
ip -n {name}-router addr add 10.79.1.1/24 dev client
ip -n {name}-router addr add 10.79.2.1/24 dev server
ip -n {name}-client link set lo up
ip -n {name}-client link set eth0 up
ip -n {name}-server link set eth0 up
ip -n {name}-router link set client up
ip -n {name}-router link set server up
ip -n {name}-client route add default via 10.79.1.1
ip -n {name}-server route add default via 10.79.2.1
ip netns exec {name}-router sh -c "echo 1 > /proc/sys/net/ipv4/ip_forward"
"""
    addresses = [f"ip -n {name}-server addr add {host}/24 dev eth0" for host in CUTS.values()]
    lines = script.strip().splitlines()
    for line in [*lines[:5], *addresses, *lines[5:]]:
        subprocess.run(["sh", "-c", line], check=True)


def tear_down(name: str) -> None:
    for part in ("client", "router", "server"):
        subprocess.run(["ip", "netns", "del", f"{name}-{part}"], check=False, capture_output=True)


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        folder = Path(sys.argv[3])
        os.environ["SSL_CERT_FILE"] = str(folder / "authority.pem")
        return 0 if asyncio.run(run_inside(sys.argv[2], folder)) else 1
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        print(NEEDED)
        return 1
    name = f"rebyte-{os.getpid()}"
    with tempfile.TemporaryDirectory() as certificates:
        write_certificates(Path(certificates), *CUTS.values())
        try:
            set_up(name)
            inside = ["ip", "netns", "exec", f"{name}-client", sys.executable, __file__, "--inside", name, certificates]
            return subprocess.run(inside, check=False).returncode
        except subprocess.CalledProcessError as error:
            print(f"{NEEDED}; this failed: {error.cmd[-1]}")
            return 1
        finally:
            tear_down(name)


if __name__ == "__main__":
    sys.exit(main())
