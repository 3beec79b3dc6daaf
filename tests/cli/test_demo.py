"""`rebyte-async demo`."""

from __future__ import annotations

import asyncio
import json
import signal

from cli.process import environment, run_command, start_command, start_in_terminal


async def test_demo_runs_an_agent_and_says_what_to_do_next() -> None:
    """Without a key or a network, the demo shows an agent at work, its answer, its time, and the next step."""
    real = environment(REBYTE_BASE_URL="http://127.0.0.1:1/v1", REBYTE_API_KEY="rbk_real")
    plain, quiet, programs = await asyncio.gather(
        run_command("demo", "--fast", env=environment()),
        run_command("demo", "--fast", "--quiet", env=real),
        run_command("demo", "--fast", "--json", env=environment()),
    )
    assert [(finished.code, finished.err) for finished in (plain, quiet, programs)] == [(0, "")] * 3
    assert "> Bash python -m cProfile -s tottime report.py --sample" in plain.lines
    assert plain.out.count("All 32 tests pass.") == 1
    assert any(line.startswith("-- completed in ") for line in plain.lines)
    assert "  export REBYTE_API_KEY=rbk_..." in plain.lines
    assert '  rebyte-async run "Build a REST API in Go"' in plain.lines
    assert quiet.out.startswith("The report is slow because")
    assert "rbk_real" not in quiet.out
    events = [json.loads(line) for line in programs.lines]
    assert [events[0]["event_type"], events[-1]["event_type"]] == ["init", "done"]
    assert events[-1]["payload"]["status"] == "completed"


async def test_demo_in_a_terminal_prints_everything_once() -> None:
    """In a terminal the text streams in, and what is left on the screen has nothing twice and no status line."""
    async with start_in_terminal("demo", "--fast", env=environment(), width=90, height=70) as terminal:
        assert await terminal.wait() == 0
    screen = terminal.screen
    assert screen.count("● Bash pytest -q && python report.py --sample") == 1
    assert screen.count("- All 32 tests pass.") == 1
    assert sum("The report is slow because `customer_of` asks" in line for line in screen) == 1
    assert any(line.startswith("✓ completed in ") for line in screen)
    assert not any("Ctrl-C" in line for line in screen)
    assert screen[-1] == '  rebyte-async run "Build a REST API in Go"'


async def test_demo_ends_in_order_on_ctrl_c() -> None:
    """Ctrl-C ends the demo, its emulator included, with a word on what is left running."""
    async with start_command("demo", env=environment()) as process:
        assert process.stdout is not None
        while not (await process.stdout.readline()).startswith(b"task "):
            pass
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode() == "interrupted: the demo ended with it, nothing is left running\n"
