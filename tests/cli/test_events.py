"""`rebyte-async events` and `rebyte-async cancel`."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment, run_command, start_command

from rebyte_async.emulator import hold, init, text
from support.systems import SIGNALS

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


@SIGNALS
async def test_events_continue_after_a_cursor(emulator: Emulator) -> None:
    """A watching that ended is taken up where it stopped, by the cursor of its last line."""
    emulator.script(init(), text("One."), hold(), text("Two."))
    env = environment(emulator)
    async with start_command("run", "x", "--json", env=env) as process:
        assert process.stdout is not None
        seen = [json.loads(await process.stdout.readline())["event_type"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    last = json.loads(out)
    assert [*seen, last["event_type"]] == ["init", "text", "stopped"]
    emulator.release()
    second = await run_command("events", last["task_id"], "--json", "--after", last["payload"]["cursor"], env=env)
    lines = [json.loads(line) for line in second.lines]
    assert (second.code, [line["event_type"] for line in lines]) == (0, ["text", "done"])
    assert lines[0]["payload"]["content"] == "Two."


def test_what_cannot_be_watched_or_canceled(rebyte_emulator: Emulator) -> None:
    """An unknown task has its own exit code, a cursor of another task is wrong usage: one line each."""
    env = environment(rebyte_emulator)
    unknown, foreign, canceled = (
        run_inline("events", "unknown", env=env),
        run_inline("events", "unknown", "--after", "nonsense", env=env),
        run_inline("cancel", "unknown", env=env),
    )
    assert (unknown.code, foreign.code, canceled.code) == (9, 2, 9)
    assert "it doesn't exist, or not for this key" in unknown.err
    for finished in (unknown, foreign, canceled):
        assert (finished.out, finished.err.count("\n")) == ("", 1)


async def test_cancel(emulator: Emulator) -> None:
    """A task is canceled, and a command that watches it says so; canceling again does no harm."""
    emulator.script(init(), hold())
    env = environment(emulator)
    async with start_command("run", "x", env=env) as process:
        assert process.stdout is not None
        task_id = (await process.stdout.readline()).decode().strip().removeprefix("task ")
        canceled = await run_command("cancel", task_id, env=env)
        assert (canceled.code, canceled.out, canceled.err) == (0, f"task {task_id}: canceled\n", "")
        _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (4, f"error: task {task_id} was canceled\n")
    again, seen = await asyncio.gather(
        run_command("cancel", task_id, env=env), run_command("events", task_id, "-q", env=env)
    )
    assert (again.code, seen.code) == (0, 4)
