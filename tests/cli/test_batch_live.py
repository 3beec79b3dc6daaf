"""`rebyte-async batch run` while it runs: on a terminal, in a log, and when it is interrupted."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from cli.process import FULL_DISK, environment, run_command, start_command, start_in_terminal
from cli.test_batch import outcomes, write_items
from cli.test_interrupt import Stuck

from rebyte_async.emulator import Emulator, Match, fail, hold, init, text
from support.systems import SIGNALS


@pytest.fixture
def items(emulator: Emulator, tmp_path: Path) -> Path:
    """Items of which two end, and two run until they are released."""
    emulator.script(init(), hold(), text("At last."), prompt=re.compile("long"), times=None)
    emulator.script(init(), fail("No"), prompt=re.compile("fail"), times=None)
    return write_items(tmp_path / "items.jsonl", "long 0", "short", "fail", "long 1")


async def written(path: Path, count: int) -> None:
    """Wait until a file has this many lines."""
    while not path.exists() or path.read_text().count("\n") < count:
        await asyncio.sleep(0.02)


def command(items: Path, *more: str) -> list[str]:
    """The command."""
    folder = items.parent
    return ["batch", "run", str(items), "--journal", str(folder / "j"), "--out", str(folder / "out"), *more]


async def test_the_display(emulator: Emulator, items: Path) -> None:
    """A terminal shows how much is done, runs and failed, and what runs longest; at the end only the sum is left."""
    async with start_in_terminal(*command(items), env=environment(emulator), width=100) as terminal:
        await terminal.shows("2 of 4 done")
        await terminal.shows("2 running  1 completed  1 failed")
        await terminal.shows("k3  ")
        lines = terminal.screen
        assert re.match(r"━+╺?━+  50%  2 of 4 done", lines[0])
        assert re.match(r"[\d.]+ items/(s|min)  [\d.]+ s so far", lines[2])
        assert lines[3] == "slowest of those that run:"
        assert {re.split(r" {2,}", line.strip())[1] for line in lines[4:6]} == {"k0", "k3"}
        assert lines[6:] == ["Ctrl-C to stop"]
        emulator.release()
        assert await terminal.wait() == 3
    summary, again, *rest = terminal.screen
    assert re.fullmatch(r"3 completed, 1 failed in [\d.]+ s", summary)
    assert again.startswith("  run those again:")
    assert "Ctrl-C" not in "".join(rest)


async def test_outcomes_on_the_terminal(emulator: Emulator, items: Path) -> None:
    """Where the outcomes go to the terminal themselves, nothing is drawn in between, and each has its own lines."""
    printed = ("batch", "run", str(items), "--journal", str(items.parent / "j"), "--out", "-")
    async with start_in_terminal(*printed, env=environment(emulator), width=400) as terminal:
        await terminal.shows('"status": "failed"')
        emulator.release()
        assert await terminal.wait() == 3
    *lines, summary, again = terminal.screen
    assert {json.loads(line)["key"] for line in lines} == {"k0", "k1", "k2", "k3"}
    assert summary.startswith("3 completed, 1 failed in ")
    assert again.startswith("  run those again:")


async def test_a_narrow_terminal(emulator: Emulator, items: Path) -> None:
    """Each line of the display takes one line of the terminal, however narrow that is."""
    async with start_in_terminal(*command(items), env=environment(emulator), width=30) as terminal:
        await terminal.shows("2 running  1 complet")
        assert max(map(len, terminal.screen)) <= 30
        assert len(terminal.screen) == 7
        emulator.release()
        assert await terminal.wait() == 3


@SIGNALS
async def test_ctrl_c_stops_in_order_and_the_same_command_continues(
    emulator: Emulator, items: Path, tmp_path: Path
) -> None:
    """Ctrl-C leaves the tasks running and says so; the file has what is known; the same command makes nothing anew."""
    env = environment(emulator)
    async with start_command(*command(items), env=env) as process:
        await written(tmp_path / "out.part", 2)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().splitlines() == [
        "stopping; Ctrl-C again to leave at once",
        "interrupted: 2 tasks keep running",
        f"  continue:  rebyte-async {' '.join(command(items))}",
        f"  look:      rebyte-async batch status {tmp_path / 'j'}",
    ]
    assert outcomes(tmp_path / "out").keys() == {"k1", "k2"}
    assert not (tmp_path / "out.part").exists()
    assert not emulator.log.select("POST", "/tasks/[^/]+/cancel")
    status = await run_command("batch", "status", str(tmp_path / "j"), "--json", env=env)
    assert json.loads(status.out)["running"] == 2
    emulator.release()
    again = await run_command(*command(items), env=env)
    assert again.code == 3
    assert {key: line["final_result"] for key, line in outcomes(tmp_path / "out").items() if key in {"k0", "k3"}} == {
        "k0": "At last.",
        "k3": "At last.",
    }
    assert len(outcomes(tmp_path / "out")) == len(emulator.tasks) == 4


@SIGNALS
async def test_ctrl_c_cancels_the_tasks_where_that_was_asked_for(
    emulator: Emulator, items: Path, tmp_path: Path
) -> None:
    """With --cancel-remote the running tasks are canceled, which the file of outcomes says too."""
    async with start_command(*command(items, "--cancel-remote"), env=environment(emulator)) as process:
        await written(tmp_path / "out.part", 2)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    first, second, *_ = err.decode().splitlines()
    assert first == "canceling the running tasks; Ctrl-C again to leave at once"
    assert second == "interrupted: the tasks are canceled"
    lines = outcomes(tmp_path / "out")
    assert {key for key, line in lines.items() if line["status"] == "canceled"} == {"k0", "k3"}
    assert len(emulator.log.select("POST", "/tasks/[^/]+/cancel")) >= 2


@SIGNALS
async def test_a_second_ctrl_c_leaves_at_once(emulator: Emulator, items: Path, tmp_path: Path) -> None:
    """A cancel that takes its time doesn't hold up who presses Ctrl-C twice; the journal stays true."""
    stuck = Stuck()
    emulator.faults.add(stuck, Match("POST", "/tasks/[^/]+/cancel"), times=None)
    async with start_command(*command(items, "--cancel-remote"), env=environment(emulator)) as process:
        await written(tmp_path / "out.part", 2)
        process.send_signal(signal.SIGINT)
        await stuck.came.wait()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):  # half of the time that the cancels might take
            _, err = await process.communicate()
    assert process.returncode == 130
    assert "left at once: some tasks may not be canceled" in err.decode()
    exported = await run_command("batch", "export", str(tmp_path / "j"), env=environment())
    assert {json.loads(line)["key"] for line in exported.lines} == {"k1", "k2"}
    emulator.faults.clear()
    emulator.release()


async def test_a_killed_run_goes_on(emulator: Emulator, items: Path, tmp_path: Path) -> None:
    """After a kill the file of outcomes is as it was before; the same command makes it whole, and no task anew."""
    (tmp_path / "out").write_text("from before\n")
    env = environment(emulator)
    async with start_command(*command(items), env=env) as process:
        await written(tmp_path / "out.part", 2)
        process.kill()
        await process.wait()
    assert (tmp_path / "out").read_text() == "from before\n"
    status = await run_command("batch", "status", str(tmp_path / "j"), "--json", env=env)
    assert json.loads(status.out)["run"] == "broken off"
    emulator.release()
    assert (await run_command(*command(items), env=env)).code == 3
    assert len(outcomes(tmp_path / "out")) == len(emulator.tasks) == 4


async def test_a_reader_that_leaves(emulator: Emulator, items: Path, tmp_path: Path) -> None:
    """When the reader of the outcomes has left, as `head` does, the run stops."""
    parts = ["batch", "run", str(items), "--journal", str(tmp_path / "j"), "--out", "-", "--concurrency", "3"]
    with items.open("a") as file:
        file.writelines(json.dumps({"key": f"more{number}", "prompt": "short"}) + "\n" for number in range(200))
    async with start_command(*parts, env=environment(emulator)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        assert await process.wait() == 141
        assert await process.stderr.read() == b""
    assert len(emulator.tasks) < 204
    emulator.release()


@FULL_DISK
async def test_outcomes_that_cant_be_written(emulator: Emulator, items: Path, tmp_path: Path) -> None:
    """A disk that is full stops the run, and says why; the journal has what was to be written."""
    parts = ["batch", "run", str(items), "--journal", str(tmp_path / "j"), "--out", "/dev/full"]
    finished = await run_command(*parts, env=environment(emulator))
    assert finished.code == 1
    assert finished.err.startswith("error: No space left on device\n  continue:  ")
    exported = await run_command("batch", "export", str(tmp_path / "j"), env=environment())
    assert {json.loads(line)["key"] for line in exported.lines} <= {"k1", "k2"}
    assert exported.lines
    emulator.release()
