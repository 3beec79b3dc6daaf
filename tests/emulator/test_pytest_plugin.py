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
    (folder / "pytest.ini").write_text("[pytest]\n")  # no settings of a folder above it
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


_OWN_LOOPS = """
    import asyncio
    import unittest

    import pytest
    import pytest_asyncio
    from rebyte_async import RetryPolicy
    from rebyte_async.emulator import Drop

    clients = []

    @pytest.fixture(autouse=True)
    def _keep(rebyte_client):
        clients.append(rebyte_client)

    def test_a_loop_of_its_own(rebyte_client):
        asyncio.run(count(rebyte_client))

    async def count(client):
        return (await client.tasks.list()).total

    def test_no_loop(rebyte_client):
        pass

    def test_no_response(rebyte_client, rebyte_emulator):
        rebyte_emulator.faults.add(Drop(), times=None)
        with pytest.raises(Exception, match="connection"):
            asyncio.run(count(rebyte_client.with_options(retry=RetryPolicy(max_attempts=1))))

    class TestCase(unittest.IsolatedAsyncioTestCase):
        @pytest.fixture(autouse=True)
        def _take(self, rebyte_client):
            self.client = rebyte_client

        async def test_it(self):
            await count(self.client)

    @pytest_asyncio.fixture
    async def task(rebyte_client):
        task = await rebyte_client.tasks.create("x")
        yield task
        await rebyte_client.tasks.delete(task.id)

    def test_a_fixture_alone_uses_it(task):
        assert task.id

    @pytest.mark.asyncio
    async def test_a_fixture_uses_it_afterwards(task, rebyte_client):
        await rebyte_client.tasks.get(task.id)

    def test_all_were_closed():
        for client in clients[:-1]:
            with pytest.raises(Exception, match="closed"):
                asyncio.run(count(client))
"""


def test_the_client_is_closed_whatever_runs_its_loop(tmp_path: Path) -> None:
    """A test's own loop, unittest's and that of a fixture close the client; no warning remains."""
    output = _run(tmp_path, _OWN_LOOPS, *_LOOP_SCOPE)

    assert "7 passed" in output, output


def test_nothing_is_imported_until_a_fixture_is_used(tmp_path: Path) -> None:
    """A run of pytest without the fixtures loads neither the client nor the emulator, nor what they need."""
    source = """
        import sys

        def test_it():
            assert "rebyte_async.pytest_plugin" in sys.modules
            loaded = {name for name in sys.modules if name.startswith("rebyte_async")}
            assert loaded == {"rebyte_async", "rebyte_async._version", "rebyte_async.pytest_plugin"}
            assert not {"aiohttp", "attrs", "cattrs", "yarl"} & sys.modules.keys()
    """
    output = _run(
        tmp_path, source, "-p", "no:anyio", "-p", "no:asyncio", "-p", "no:hypothesispytest", "-p", "no:schemathesis"
    )

    assert "1 passed" in output, output


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
