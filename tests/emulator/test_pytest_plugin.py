"""The pytest plugin: its fixtures under every plugin for asynchronous tests."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from rebyte_async.emulator import Emulator, Status, text

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async import AsyncRebyte

_WITHOUT_ASYNCIO = ("-p", "no:asyncio")
_LOOP_SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")


def _run(folder: Path, source: str, *options: str) -> str:
    test = folder / "test_it.py"
    test.write_text(dedent(source))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, str(test)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30).stdout


_CLIENT_TEST = """
    import asyncio
    import pytest

    clients = []

    {mark}
    async def test_the_client_works(rebyte_client, rebyte_emulator):
        clients.append(rebyte_client)
        assert (await rebyte_client.tasks.list()).total == 0
        assert [record.key for record in rebyte_emulator.log] == [rebyte_emulator.api_key]

    {mark}
    async def test_it_was_closed():
        with pytest.raises(Exception, match="closed"):
            await clients[0].tasks.list()
"""


def test_the_client_works_with_anyio(tmp_path: Path) -> None:
    """The client reaches the emulator, and is closed in the event loop of its test."""
    mark = '@pytest.mark.anyio\n    @pytest.mark.parametrize("anyio_backend", ["asyncio"])'
    output = _run(tmp_path, _CLIENT_TEST.format(mark=mark), *_WITHOUT_ASYNCIO)

    assert "2 passed" in output, output


@pytest.mark.parametrize(("mode", "mark"), [("strict", "@pytest.mark.asyncio"), ("auto", "")])
def test_the_client_works_with_pytest_asyncio(tmp_path: Path, mode: str, mark: str) -> None:
    """The client works in both modes of pytest-asyncio."""
    output = _run(tmp_path, _CLIENT_TEST.format(mark=mark), "-o", f"asyncio_mode={mode}", *_LOOP_SCOPE)

    assert "2 passed" in output, output


def test_a_failure_inside_the_emulator_fails_the_test(tmp_path: Path) -> None:
    """The failure is an error of the test that caused it, and of no other."""
    source = """
        import json
        from urllib.request import Request, urlopen

        def broken(turn):
            raise LookupError("no such step")

        def post(emulator):
            headers = {"API_KEY": emulator.api_key, "Content-Type": "application/json"}
            with urlopen(Request(emulator.url + "/tasks", b'{"prompt": "x"}', headers)) as response:
                task_id = json.load(response)["id"]
            with urlopen(Request(f"{emulator.url}/tasks/{task_id}/events", headers=headers)) as response:
                return response.read()

        def test_broken(rebyte_emulator):
            rebyte_emulator.script(broken)
            post(rebyte_emulator)

        def test_fine(rebyte_emulator):
            assert len(rebyte_emulator.log) == 0
            post(rebyte_emulator)
    """
    output = _run(tmp_path, source, *_WITHOUT_ASYNCIO)

    assert "2 passed, 1 error" in output, output
    assert "LookupError: no such step" in output


def test_nothing_heavy_is_imported_when_pytest_starts() -> None:
    """The plugin alone imports neither the emulator nor aiohttp."""
    code = "import sys, rebyte_async.pytest_plugin; sys.exit('aiohttp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_the_fixtures_work_together(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """The client follows a scripted task of the emulator."""
    rebyte_emulator.script(text("Hello"))

    result = await rebyte_client.tasks.run("Say hello")

    assert result.text == "Hello"


async def test_every_test_gets_a_clean_emulator(rebyte_emulator: Emulator) -> None:
    """The tasks of earlier tests are forgotten."""
    assert len(rebyte_emulator.log) == 0
    rebyte_emulator.faults.add(Status(500))


async def test_every_test_gets_an_emulator_without_faults(rebyte_emulator: Emulator) -> None:
    """The faults of earlier tests are forgotten."""
    assert len(rebyte_emulator.faults) == 0
