"""The package in the ways in which Python can be run: strict, optimised, with eager tasks, and frozen."""

from __future__ import annotations

import asyncio
import functools
import runpy
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner
from rebyte_async.cli import app
from rebyte_async.emulator import Emulator, succeed, text
from rebyte_async.webhooks import WebhookEvent, WebhookReceiver, WebhookVerifier, sign

if TYPE_CHECKING:
    from rebyte_async.cli.lazy import Entry

SECRET = "s3cret"
_IMPORT_ALL = """
import importlib, pkgutil, rebyte_async
for module in pkgutil.walk_packages(rebyte_async.__path__, "rebyte_async."):
    if not module.name.endswith("__main__") and "-" not in module.name:
        importlib.import_module(module.name)
"""


def run_python(*arguments: str) -> str:
    """Run the interpreter, and return what it printed."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("options", [("-W", "error", "-X", "dev"), ("-OO",)], ids=["strict", "optimised"])
def test_every_module_can_be_imported(options: tuple[str, ...]) -> None:
    """Neither a warning nor a missing docstring keeps a module from being imported."""
    run_python(*options, "-c", _IMPORT_ALL)


def test_the_command_without_docstrings() -> None:
    """With `python -OO` the command works, and its help still says what a command does."""
    assert "Watch the latest turn of task TASK_ID" in run_python("-OO", "-m", "rebyte_async", "events", "--help")
    assert "report.md" in run_python("-OO", "-m", "rebyte_async", "demo", "--fast")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_eager_tasks(tmp_path: Path) -> None:
    """Where tasks start before they are scheduled, calls, streams, batches and webhooks work as elsewhere."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    async with Emulator(pace=0.001) as emulator, AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        emulator.script(text("Hello."), succeed("Hello."), times=3)
        results = await asyncio.gather(*(client.tasks.run(f"Say hello {number}") for number in range(3)))
        assert {result.text for result in results} == {"Hello."}
        runner = BatchRunner(client, journal=tmp_path / "run.sqlite3", concurrency=3)
        items = [BatchItem(f"k{number}", f"Do {number}") for number in range(6)]
        assert [outcome.status async for outcome in runner.run(items)] == ["completed"] * 6
    receiver = WebhookReceiver(WebhookVerifier(SECRET), concurrency=1)
    handled = list[str]()
    for name in ("first", "second"):
        receiver.on(functools.partial(_handle, handled, name))
    async with receiver:
        delivery = sign({"taskId": "t1"}, secret=SECRET)
        assert (await receiver.receive(*delivery)).status == 200
    assert handled == ["first", "second"]


async def _handle(handled: list[str], name: str, _event: WebhookEvent) -> None:
    handled.append(name)


def test_hooks_for_pyinstaller() -> None:
    """What PyInstaller is given by name is there, and every command is among it; `nox -s frozen` builds programs."""
    (entry,) = (entry for entry in entry_points(group="pyinstaller40") if entry.module == "rebyte_async._pyinstaller")
    (folder,) = entry.load()()
    found = {path.stem.removeprefix("hook-"): runpy.run_path(str(path)) for path in Path(folder).glob("hook-*.py")}
    for module, hook in found.items():
        for name in (module, *hook.get("hiddenimports", ())):
            import_module(name)
        for source, target in hook.get("datas", ()):
            assert Path(source).is_file()
            assert target == "/".join(module.split("."))
    assert {f"rebyte_async.cli.{name}" for name in _command_modules()} <= set(
        found["rebyte_async.cli"]["hiddenimports"]
    )


def _command_modules() -> set[str]:
    groups: list[Any] = [app.group, app.batch]
    entries: list[Entry] = [entry for group in groups for entry in group.entries.values()]
    return {entry.target.partition(":")[0] for entry in entries}
