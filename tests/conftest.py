"""Fixtures that every test may use."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

from support.tls import Tls, make_tls


def pytest_configure() -> None:
    """Let the commands that tests start take every signal, also where the suite runs under nohup or in the background.

    A program passes on which signals it ignores, and none that it handles, if only by doing nothing.
    """
    for number in (signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let async tests run on another event loop."""
    parser.addoption("--event-loop", choices=["asyncio", "eager", "uvloop"], default="asyncio")


def make_eager_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop whose tasks start before they are scheduled."""
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@pytest.fixture(scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run async tests on asyncio, the only library that the SDK supports; on which event loop is an option."""
    options: dict[str, dict[str, object]] = {"eager": {"loop_factory": make_eager_loop}, "uvloop": {"use_uvloop": True}}
    return "asyncio", options.get(str(request.config.getoption("--event-loop")), {})


@pytest.fixture
def asyncio_transports(request: pytest.FixtureRequest) -> None:
    """Skip a test about the transports of asyncio's own loop where that isn't the loop."""
    if request.config.getoption("--event-loop") == "uvloop":
        pytest.skip("uvloop has transports of its own")


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    """Fail a test in which the package blocks the event loop."""
    with blockbuster_ctx("rebyte_async") as blocking:
        # uvloop joins the thread that ended its executor when the loop is closed. On a busy machine the thread still
        # runs then. blockbuster allows the same of asyncio's own loop, but not by the only frame that uvloop shows.
        blocking.functions["threading.Lock.acquire"].can_block_in("asyncio/runners.py", {"close"})
        yield


@pytest.fixture
def unused_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Return the TLS of a server whose authority no system knows."""
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """Start a `support.postgres.Postgres` for all tests of the session: each makes a database of its own."""
    from support.postgres import Postgres

    server = Postgres()
    yield server
    server.close()
