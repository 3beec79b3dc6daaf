"""`rebyte-async demo`."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path
from unittest.mock import patch

from cli.inline import run_inline
from cli.process import environment, start_command, start_in_terminal

from support.systems import SIGNALS


def test_demo_does_a_whole_job(tmp_path: Path) -> None:
    """Without a key or a network, a file goes up, an agent works with it, a report comes down, and nothing stays."""
    real = environment(REBYTE_BASE_URL="http://127.0.0.1:1/v1", REBYTE_API_KEY="rbk_real", TMPDIR=str(tmp_path))
    with patch.object(tempfile, "tempdir", str(tmp_path)):
        plain = run_inline("demo", "--fast", env=environment())
        quiet = run_inline("demo", "--fast", "--quiet", env=real)
        programs = run_inline("demo", "--fast", "--json", env=environment())
    assert [(finished.code, finished.err) for finished in (plain, quiet)] == [(0, "")] * 2
    assert (programs.code, programs.err) == (0, "uploaded latency.csv (330 bytes)\n")
    assert "-- uploaded latency.csv (330 bytes)" in plain.lines
    assert any(line.startswith("> Read /code/latency") for line in plain.lines)
    assert any(line.startswith("-- completed in ") for line in plain.lines)
    report = plain.lines[plain.lines.index("$ cat report.md") + 1 :]
    assert report[0] == "# Why the shop got slow on Thu"
    assert "- Only **/search** got slower: 152 ms became 908 ms." in report
    assert report[-2:] == ["  export REBYTE_API_KEY=rbk_...", '  rebyte-async run "Build a REST API in Go"']
    assert quiet.out.startswith("**/search is 6.0 times as slow since Thu**")
    assert "rbk_real" not in quiet.out
    events = [json.loads(line) for line in programs.lines]
    assert [events[0]["event_type"], events[-1]["event_type"]] == ["init", "done"]
    assert events[-1]["payload"]["status"] == "completed"
    assert list(tmp_path.iterdir()) == []


async def test_demo_in_a_terminal_prints_everything_once() -> None:
    """In a terminal the text streams in, and what is left on the screen has nothing twice and no status line."""
    async with start_in_terminal("demo", "--fast", env=environment(), width=90, height=90) as terminal:
        assert await terminal.wait() == 0
    screen = terminal.screen
    assert screen.count("● Bash git log --since=Mon --format='%h %ad %s'") == 1
    assert sum("The numbers, and what I'd do, are in" in line for line in screen) == 1
    assert sum("# Why the shop got slow on Thu" in line for line in screen) >= 1
    assert any(line.startswith("✓ completed in ") for line in screen)
    assert not any("Ctrl-C" in line for line in screen)
    assert screen[-1] == '  rebyte-async run "Build a REST API in Go"'


@SIGNALS
async def test_demo_ends_in_order_on_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C ends the demo, its emulator included, with a word on what is left running."""
    async with start_command("demo", env=environment(TMPDIR=str(tmp_path))) as process:
        assert process.stdout is not None
        while not (await process.stdout.readline()).startswith(b"task "):
            pass
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode() == "interrupted: the demo ended with it, nothing is left running\n"
    assert list(tmp_path.iterdir()) == []
