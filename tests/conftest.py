"""Fixtures that every test may use."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The SDK is for asyncio alone."""
    return "asyncio"


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
