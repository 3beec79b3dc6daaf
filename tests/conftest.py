"""Fixtures that every test may use."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The SDK is for asyncio alone."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    """A call of the package that blocks the event loop fails the test."""
    with blockbuster_ctx("rebyte_async"):
        yield


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
