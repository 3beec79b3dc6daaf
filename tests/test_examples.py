"""The programs in examples/, run as their users would, against the emulator."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from rebyte_async.emulator import Emulator, fail, hold, question, text, tool_result, tool_use
from support.systems import SIGNALS

EXAMPLES = Path(__file__).parent.parent / "examples"
PYTHON = (sys.executable, "-W", "error")
LIMIT = 30


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator in its own thread, which the programs reach over its address."""
    with Emulator(pace=0.001) as started:
        yield started
        started.check()


def environment(emulator: Emulator) -> dict[str, str]:
    """The environment in which a program finds the emulator."""
    own = {"REBYTE_BASE_URL": emulator.url, "REBYTE_API_KEY": emulator.api_key, "PYTHONIOENCODING": "utf-8"}
    return os.environ | own


def run(emulator: Emulator, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example until it exits."""
    return subprocess.run(
        [*PYTHON, str(EXAMPLES / name), *arguments],
        env=environment(emulator),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=LIMIT,
    )


def succeeded(emulator: Emulator, name: str, *arguments: str) -> str:
    """Run an example that must succeed with an empty stderr, and return what it prints."""
    done = run(emulator, name, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_quickstart(emulator: Emulator) -> None:
    """The quickstart prints the final result, and reports a failure in one line."""
    emulator.script(text("It is short."))
    assert succeeded(emulator, "quickstart.py", "Summarise", "it") == "It is short.\n"
    emulator.script(text("Hm."), fail("no disk left"))
    done = run(emulator, "quickstart.py")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the agent failed: no disk left\n")


def test_stream_to_terminal(emulator: Emulator) -> None:
    """The program shows every type of event, and the end of the turn."""
    shown = succeeded(emulator, "stream_to_terminal.py", "Build it")
    for part in (
        "… The user wants: Build it",
        "I'll take a look.",
        "→ Bash",
        "← README.md",
        "[completed] Done: Build it",
    ):
        assert part in shown
    emulator.script(question("Which?", "left", "right"), text("Fine."))
    with subprocess.Popen(
        [*PYTHON, str(EXAMPLES / "stream_to_terminal.py")],
        env=environment(emulator) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert any("? Which? ['left', 'right']" in line for line in process.stdout)
        process.kill()


def test_many_tasks(emulator: Emulator) -> None:
    """The end of each task is printed with its prompt."""
    emulator.script(tool_use("Write"), tool_result("ok"), text("five seven five"), prompt="haiku")
    emulator.script(text("Hm."), fail("no rhyme"), prompt="limerick")
    shown = succeeded(emulator, "many_tasks.py", "A haiku", "A limerick")
    assert shown.splitlines() == [
        "A haiku: → Write",
        "A haiku: [completed] five seven five",
        "A limerick: [failed] no rhyme",
    ]


def test_resume(emulator: Emulator, tmp_path: Path) -> None:
    """A program that was killed and started again resumes at its event, with the same task."""
    emulator.script(text("one"), text("two"), hold(), text("three"))
    command = [*PYTHON, str(EXAMPLES / "resume.py"), str(tmp_path / "state.json"), "Count"]
    with subprocess.Popen(command, env=environment(emulator), stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        first = [process.stdout.readline(), process.stdout.readline()]
        time.sleep(0.2)  # let it write down where it is; killed before that, it would show the second event again
        process.kill()
    emulator.release()
    rest = succeeded(emulator, "resume.py", str(tmp_path / "state.json"))
    assert first == ["text: {'content': 'one'}\n", "text: {'content': 'two'}\n"]
    assert rest.splitlines() == ["text: {'content': 'three'}", "[completed] three"]
    assert len(emulator.tasks) == 1


def test_batch(emulator: Emulator, tmp_path: Path) -> None:
    """Each file gets one task over several runs; a failure is printed and gives the exit code."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name, encoding="utf-8")
    emulator.script(text("Short."), prompt="a.txt")
    emulator.script(text("Hm."), fail("no disk left"), prompt="b.txt")
    for _ in range(2):
        done = run(emulator, "batch.py", str(tmp_path), str(tmp_path / "run.sqlite3"))
        assert sorted(done.stdout.splitlines()) == ["a.txt: [completed] Short.", "b.txt: [failed] no disk left"]
        assert (done.returncode, done.stderr) == (1, "")
    assert len(emulator.tasks) == 2


# web_relay.py and web_relay_fastapi.py, which uvicorn finds by the name of its module
WEB_RELAYS = {
    "aiohttp": [str(EXAMPLES / "web_relay.py"), "--port", "0"],
    "uvicorn": ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "web_relay_fastapi:app", "--port", "0"],
}


@SIGNALS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("server", WEB_RELAYS)
def test_web_relay(emulator: Emulator, server: str, number: signal.Signals) -> None:
    """The service relays a task and takes an answer; a signal ends it at once, while a browser waits for more."""
    emulator.script(text("Hello"), question("Which?", "left", "right"), text("there"), hold(), prompt="Say hello")
    command = [*PYTHON, *WEB_RELAYS[server]]
    log = subprocess.PIPE if server == "aiohttp" else subprocess.STDOUT
    own = environment(emulator) | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=log, encoding="utf-8") as process:
        try:
            complaints = relay_until_killed(process, number)
        finally:
            process.kill()
    assert process.returncode in {0, -number}  # uvicorn raises the signal again once it is done
    assert not complaints


def relay_until_killed(process: subprocess.Popen[str], number: signal.Signals) -> str | None:
    """Start a task, answer its question, send the signal, and return what the process complained of."""
    assert process.stdout is not None
    url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
    with urlopen(f"{url}/", timeout=LIMIT) as page:
        assert page.read() == (EXAMPLES / "web_relay.html").read_bytes()
    with urlopen(f"{url}/tasks", b"Say hello", timeout=LIMIT) as created:
        task_id = json.load(created)["id"]
    with urlopen(f"{url}/tasks/{task_id}/events", timeout=LIMIT) as events:
        assert any(b"Which?" in line for line in events)
        urlopen(f"{url}/tasks/{task_id}/answer", b'{"options": [1]}', timeout=LIMIT).close()
        assert any(b"there" in line for line in events)
        with pytest.raises(OSError, match="400"):
            urlopen(Request(f"{url}/tasks", b" "), timeout=LIMIT)
        process.send_signal(number)
        _, complaints = process.communicate(timeout=LIMIT)
        assert b"event: done" not in events.read()
    return complaints


def test_testing_with_the_emulator(tmp_path: Path) -> None:
    """The tests that users would write pass without settings."""
    target = tmp_path / "test_with_the_emulator.py"
    target.write_bytes((EXAMPLES / target.name).read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:asyncio",
            "-p",
            "no:cacheprovider",
            str(target),
        ],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=LIMIT,
    )
    assert "5 passed" in done.stdout, done.stdout


def test_every_example_is_tested() -> None:
    """Each program in examples/ is named in this file."""
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in here] == []
