"""Ctrl-C, pipes whose reader has left, and full disks."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from attrs import field, frozen
from cli.process import FULL_DISK, environment, run_command, run_redirected, start_command

from rebyte_async.emulator import Delay, Match, hold, init, text
from support.systems import SIGNALS

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


@frozen
class Stuck:
    """A request that came and is never answered."""

    came: asyncio.Event = field(factory=asyncio.Event)

    async def around(self, call: object, answer: object) -> web.StreamResponse:
        """Wait for ever."""
        del call, answer
        self.came.set()
        await asyncio.Event().wait()
        raise AssertionError


async def started(process: asyncio.subprocess.Process) -> str:
    """The task's id, once the agent is at work."""
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    await process.stdout.readline()
    return line.strip().removeprefix("task ")


@SIGNALS
async def test_ctrl_c_leaves_the_task_running(emulator: Emulator) -> None:
    """Ctrl-C ends the watching alone: it says that the task keeps running, and how to see and to cancel it."""
    emulator.script(init(), hold(), text("Went on."))
    async with start_command("run", "Do it", env=environment(emulator)) as process:
        task_id = await started(process)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode().splitlines() == [
            f"interrupted: task {task_id} keeps running",
            f"  watch it again:  rebyte-async events {task_id}",
            f"  cancel it:       rebyte-async cancel {task_id}",
        ]
        assert not emulator.log.select("POST", "/tasks/[^/]+/cancel")
        emulator.release()
        seen = await run_command("events", task_id, env=environment(emulator))
        assert (seen.code, seen.lines[2]) == (0, "Went on.")


@SIGNALS
async def test_ctrl_c_cancels_the_task_where_that_was_asked_for(emulator: Emulator) -> None:
    """With --cancel-on-interrupt the remote task is canceled, and the command says so once that is known."""
    emulator.script(init(), hold())
    async with start_command("run", "Do it", "--cancel-on-interrupt", env=environment(emulator)) as process:
        task_id = await started(process)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode() == f"interrupted: task {task_id} is canceled\n"
        assert emulator.log.select("POST", f"/tasks/{task_id}/cancel")


@SIGNALS
async def test_a_termination_is_like_ctrl_c(emulator: Emulator) -> None:
    """SIGTERM, as a CI system sends it, does the same with its own exit code."""
    emulator.script(init(), hold())
    async with start_command("run", "Do it", "--json", env=environment(emulator)) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 143
        assert err.startswith(b"interrupted: task ")
        last = json.loads(out)
        assert (last["event_type"], last["payload"]["error"]) == ("stopped", "Interrupted")
        assert last["payload"]["cursor"]


@SIGNALS
async def test_ctrl_c_while_the_task_is_being_made(emulator: Emulator) -> None:
    """While the submit is on its way it isn't known whether it started something, and the command says so."""
    stuck = Stuck()
    emulator.faults.add(stuck, Match("POST", "/tasks"))
    async with start_command("run", "Do it", env=environment(emulator)) as process:
        await stuck.came.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode() == (
            "interrupted: it isn't known whether the agent was started;"
            " look at your newest tasks before you run it again\n"
        )


@SIGNALS
@pytest.mark.parametrize(
    ("command", "path", "doubt"),
    [
        (
            ("tasks", "create", "x"),
            "/tasks",
            "it isn't known whether a task was started: look at rebyte-async tasks list",
        ),
        (
            ("tasks", "prompt", "t-1", "x"),
            "/tasks/t-1/prompts",
            "it isn't known whether the turn was started: look at rebyte-async tasks get t-1",
        ),
        (
            ("webhooks", "create", "https://example.com", "-e", "task.failed"),
            "/webhooks",
            "a webhook may have been registered: look at rebyte-async webhooks list",
        ),
    ],
)
async def test_ctrl_c_while_something_is_being_made(
    emulator: Emulator, command: tuple[str, ...], path: str, doubt: str
) -> None:
    """A command that only makes something says what isn't known, and where to look."""
    stuck = Stuck()
    emulator.faults.add(stuck, Match("POST", path))
    async with start_command(*command, env=environment(emulator)) as process:
        await stuck.came.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert (process.returncode, err.decode()) == (130, f"interrupted: {doubt}\n")


@SIGNALS
async def test_ctrl_c_during_an_upload(emulator: Emulator, tmp_path: Path) -> None:
    """Until its files are there, no task was asked for, which is plain."""
    stuck = Stuck()
    emulator.faults.add(stuck, Match("PUT"))
    data = tmp_path / "data.csv"
    await asyncio.to_thread(data.write_text, "a,b\n")
    async with start_command("tasks", "create", "x", "--file", str(data), env=environment(emulator)) as process:
        await stuck.came.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert (process.returncode, err.decode()) == (130, "interrupted: nothing was started\n")
    assert not emulator.tasks


@SIGNALS
async def test_a_second_ctrl_c_does_not_wait(emulator: Emulator) -> None:
    """When canceling takes too long, another Ctrl-C leaves at once and says what is not known."""
    emulator.script(init(), hold())
    stuck = Stuck()
    emulator.faults.add(stuck, Match("POST", "/tasks/[^/]+/cancel"))
    async with start_command("run", "Do it", "--cancel-on-interrupt", env=environment(emulator)) as process:
        task_id = await started(process)
        process.send_signal(signal.SIGINT)
        await stuck.came.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode().splitlines()[0] == (
            f"interrupted: task {task_id} may still be running: it isn't known to be canceled"
        )
        assert b"Traceback" not in err


async def test_a_reader_that_leaves(emulator: Emulator) -> None:
    """When the reader of the output has left, as `head` does, the command ends without a message."""
    emulator.script(init(), hold(), text("No one reads this."))
    async with start_command("run", "Do it", "--json", env=environment(emulator)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        emulator.release()
        assert await process.stderr.read() == b""
        assert await process.wait() == 141


async def test_doctor_closes_its_client_when_its_reader_leaves(emulator: Emulator) -> None:
    """Nothing is written to stderr, no matter which check the reader saw last."""
    emulator.faults.add(Delay(0.3), Match("GET", "/tasks"), times=None)
    async with start_command("doctor", "--json", env=environment(emulator)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while b'"health"' not in await process.stdout.readline():
            pass
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        assert await process.stderr.read() == b""
        assert await process.wait() == 141


async def test_a_reader_that_leaves_may_cancel_the_task(emulator: Emulator) -> None:
    """With --cancel-on-interrupt a task is canceled when the reader of the output leaves."""
    emulator.script(init(), hold(), text("No one reads this."), hold("end"))
    async with start_command("run", "Do it", "--cancel-on-interrupt", env=environment(emulator)) as process:
        await started(process)
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        emulator.release()
        assert await process.wait() == 141
        assert emulator.log.select("POST", "/tasks/[^/]+/cancel")


@FULL_DISK
@pytest.mark.parametrize(
    ("option", "fate", "hints"),
    [
        ("--json", "keeps running", 2),
        ("--cancel-on-interrupt", "is canceled", 0),
        ("--quiet", "had already completed", 0),
    ],
)
async def test_a_full_disk_names_the_task(emulator: Emulator, option: str, fate: str, hints: int) -> None:
    """When its output can't be written, the command says so, and what becomes of the task."""
    emulator.script(text("Listen."), *([] if option == "--quiet" else [hold()]))
    finished = await run_redirected("run", "Do it", option, redirection=">/dev/full", env=environment(emulator))
    task_id = (await run_command("tasks", "list", env=environment(emulator))).out.split("\t")[0]
    first, *more = finished.err.splitlines()
    assert (finished.code, first) == (1, f"error: No space left on device: task {task_id} {fate}")
    assert len(more) == hints
