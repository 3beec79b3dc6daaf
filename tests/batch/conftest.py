"""An emulator, and a client of it, for batches."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Emulator
from support.clients import client_of


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator in the test's event loop."""
    async with Emulator(pace=0.001) as started:
        yield started
        started.check()


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """A client that hardly waits between attempts."""
    async with client_of(emulator.url) as made:
        emulator.add_key("rbk_test_0123456789")
        yield made


@pytest.fixture
def sealed() -> Iterator[Path]:
    """A folder that every user may read, and whose mode can be changed; `tmp_path` belongs to one user alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


_UNPRIVILEGED = """
import os, sys
def drop_privileges():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
"""


@pytest.fixture
def unprivileged() -> Callable[..., str]:
    """Runs a script in its own process, and returns its output.

    Root may write anywhere, so the script calls `drop_privileges`: when it has imported all that it needs, since the
    modules may lie where root alone can read.
    """

    def run(script: str, *arguments: str) -> str:
        if os.name != "posix":
            pytest.skip("a folder can't be sealed by its mode here")
        command = [sys.executable, "-c", _UNPRIVILEGED + script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
