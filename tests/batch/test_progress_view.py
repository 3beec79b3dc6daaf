"""The progress of a run, shown while it is read: in a terminal, in a notebook, and elsewhere."""

from __future__ import annotations

import io
import re
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli.process import environment, start_in_terminal

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchProgress, RunningItem, show_progress
from rebyte_async.batch.progress_bar import Picture, to_html
from rebyte_async.batch.progress_lines import ProgressView
from rebyte_async.emulator import Emulator, hold, text
from support.batches import items, runner_of
from support.systems import SIGNALS

_PROGRAM = """
import asyncio
from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner, show_progress

async def main():
    async with AsyncRebyte() as client:
        run = BatchRunner(client).run([BatchItem(word, word) for word in ("short", "long")])
        async with show_progress(run):
            async for outcome in run:
                print("end of", outcome.key)
            print("no line end", end="")

asyncio.run(main())
"""


@SIGNALS
@pytest.mark.parametrize("is_redirected", [False, True])
async def test_a_terminal_has_a_bar(emulator: Emulator, tmp_path: Path, *, is_redirected: bool) -> None:
    """The bar is below what is printed, stays at the end, and takes nothing that is printed into a file."""
    emulator.script(hold(), text("At last."), prompt="long")
    (tmp_path / "job.py").write_text(_PROGRAM, encoding="utf-8")
    printed = tmp_path / "printed"
    command = f"{sys.executable} -W error {tmp_path / 'job.py'}" + (f" > {printed}" if is_redirected else "")
    async with start_in_terminal(command, env=environment(emulator), width=100, program=("/bin/sh", "-c")) as terminal:
        await terminal.shows(" 50%  1 of 2 done")
        await terminal.shows("long  ")
        if not is_redirected:
            assert terminal.screen[0] == "end of short"
        emulator.release()
        assert await terminal.wait() == 0
    lines = terminal.screen
    if is_redirected:
        assert printed.read_text("utf-8") == "end of short\nend of long\nno line end"
    else:
        assert lines[:3] == ["end of short", "end of long", "no line end"]
        lines = lines[3:]
    assert re.match(r"━+ 100%  2 of 2 done", lines[0])
    assert lines[1].split("  ") == ["0 running", "2 completed"]
    assert len(lines) == 3


class _Cell:
    """As much of IPython as shows a value in a cell, and replaces it."""

    def __init__(self, *, has_kernel: bool) -> None:
        self.shown: list[dict[str, str]] = []
        self.display = SimpleNamespace(display=self._show)
        self.get_ipython = lambda: SimpleNamespace(**({"kernel": self} if has_kernel else {}))

    def _show(self, data: dict[str, str], *, raw: bool, display_id: bool) -> _Cell:
        assert (raw, display_id, self.shown) == (True, True, [])
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


async def _run_to_its_end(client: AsyncRebyte, given: list[BatchItem]) -> None:
    run = runner_of(client).run(given)
    async with show_progress(run, interval=0):
        assert [outcome.status async for outcome in run] == ["completed"] * len(given)


async def test_a_notebook_has_a_bar(
    client: AsyncRebyte, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One output of the cell is replaced until the end, and nothing else is written."""
    cell = _Cell(has_kernel=True)
    monkeypatch.setitem(sys.modules, "IPython", cell)
    await _run_to_its_end(client, items(3))
    assert len(cell.shown) >= 2
    last = cell.shown[-1]
    assert last["text/plain"].startswith("3 of 3 done (3 completed), 0 running")
    assert "3 of 3 done" in last["text/html"]
    assert "100%" in last["text/html"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("modules", [{"rich": None}, {"IPython": _Cell(has_kernel=False)}, {}])
async def test_lines_elsewhere(
    client: AsyncRebyte,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    modules: dict[str, Any],
) -> None:
    """Where there is no terminal and no notebook, or no rich, there are lines on stderr."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    await _run_to_its_end(client, items(3))
    out, err = capsys.readouterr()
    assert out == ""
    first, *_, last = err.splitlines()
    assert first.startswith("0 of 3 done, 0 running")
    assert last.startswith("3 of 3 done (3 completed), 0 running")


class _Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stderr", [None, _Broken(), "closed"])
async def test_a_broken_output_breaks_no_run(
    client: AsyncRebyte, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | str | None
) -> None:
    """Where stderr isn't there, is closed, or has lost its reader, nothing is shown."""
    if stderr == "closed":
        stderr = io.StringIO()
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    await _run_to_its_end(client, items(3))


async def test_what_is_raised_in_the_block_is_raised(client: AsyncRebyte, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the application ends the display and reaches it, and the run can be read on."""
    run = runner_of(client).run(items(3))
    with pytest.raises(ZeroDivisionError):
        async with show_progress(run):
            await anext(run)
            raise ZeroDivisionError
    assert " of 3 done" in capsys.readouterr().err
    assert len([_ async for _ in run]) == 2


def test_hostile_keys_in_html() -> None:
    """Keys and ids are text in a notebook: no element, no markup, no line of their own."""
    picture = Picture("hint")
    assert "hint" in to_html(picture)
    slow = RunningItem(key="<img src=x>\n[bold]x[/] :smile:", task_id="\x1b[31m</pre>", running_for=timedelta(3))
    picture.progress = BatchProgress(total=4, rate=0.5, ended={"<b>": 1, "failed": 1}, slowest=(slow,))
    html = to_html(picture)
    assert "<img" not in html
    assert "<b>" not in html
    assert html.count("</pre>") == 1
    assert "[bold]x[/] :smile:" in html
    assert "about 4.0 s left" in html
    lines = re.sub("<[^>]*>", "", html).splitlines()
    assert len(lines) == 6


def test_a_view_that_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It takes everything."""
    with ProgressView() as view:
        view.show(BatchProgress())
        view.say("hello")
        view.finish(BatchProgress())
    assert capsys.readouterr() == ("", "")
