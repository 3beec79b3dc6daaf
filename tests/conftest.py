"""Fixtures that every test may use."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the only loop that the SDK supports."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    """Fail a test in which the package blocks the event loop."""
    with blockbuster_ctx("rebyte_async"):
        yield


@pytest.fixture
def unused_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
