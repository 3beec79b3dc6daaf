"""The programs of the cookbook, taken from their pages and run as their users would, against the emulator."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from rebyte_async.emulator import Emulator, fail, text
from support.systems import SHELL, SIGNALS

COOKBOOK = Path(__file__).parent.parent / "docs/cookbook"
PROGRAM = re.compile(r'^```\w+ title="(\S+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PYTHON = (sys.executable, "-W", "error")
LIMIT = 30


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator in its own thread, which the programs reach over its address."""
    with Emulator(pace=0.001) as started:
        yield started
        started.check()


def take(page: str, folder: Path) -> None:
    """Write the programs of a page into a folder."""
    for name, program in PROGRAM.findall((COOKBOOK / page).read_text(encoding="utf-8")):
        (folder / name).write_text(program, encoding="utf-8")


def environment(emulator: Emulator, **more: str) -> dict[str, str]:
    own = {"REBYTE_BASE_URL": emulator.url, "REBYTE_API_KEY": emulator.api_key, "PYTHONIOENCODING": "utf-8"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return os.environ | own | {"PATH": path} | more


def run(folder: Path, env: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False, timeout=LIMIT
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, env: Mapping[str, str], *command: str) -> Generator[None]:
    """Run a server until the block ends. It must then exit at once, and in order."""
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=LIMIT)
    assert "Traceback" not in complaints, complaints


def ask(url: str, body: bytes | None = None, *, content_type: str = "text/plain") -> bytes:
    """Send a request, again while the server isn't up or has nothing to show yet."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            with urlopen(Request(url, body, {"Content-Type": content_type}), timeout=LIMIT) as response:
                content: bytes = response.read()
                return content
        except URLError as error:
            is_soon = not isinstance(error, HTTPError) or error.code == 404
            if not is_soon or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_nightly_batch(emulator: Emulator, tmp_path: Path) -> None:
    """Every row is run once over several starts, what didn't complete gives the exit code, and a CSV has all."""
    take("nightly-batch.md", tmp_path)
    command = (*PYTHON, "nightly.py", "tickets.csv", "run.sqlite3", "outcomes.csv")
    (tmp_path / "tickets.csv").write_text(
        'id,received,team,text\n1,today,a,It breaks\n2,today,b,"It is\nslow"\n3,today\n', encoding="utf-8"
    )
    emulator.script(text("Hm."), fail("no disk left"), prompt="It breaks")
    emulator.script(text("=1+1"), prompt="slow", times=None)
    stopped = run(tmp_path, environment(emulator), *command)
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1].startswith(
        "the batch stopped, start it again: tickets.csv, line 5: the row has"
    )
    assert len((tmp_path / "outcomes.csv").read_text("utf-8").splitlines()) == 3
    with (tmp_path / "tickets.csv").open("a", encoding="utf-8") as rows:
        rows.seek(rows.seek(0, os.SEEK_END) - 1)
        rows.truncate()
        rows.write(",c,It burns\n")
    assert run(tmp_path, environment(emulator), *command[:-1]).stderr.endswith("nightly.py ROWS JOURNAL OUTCOMES\n")
    for _ in range(2):
        done = run(tmp_path, environment(emulator), *command)
        assert done.stdout == "3 rows have ended, 1 of them not well\n"
        assert (done.returncode, done.stderr) == (1, "1: failed: no disk left\n")
    assert len(emulator.tasks) == 3
    with (tmp_path / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        found = {row["key"]: (row["status"], row["final_result"], row["team"]) for row in csv.DictReader(file)}
    assert found["2"] == ("completed", "'=1+1", "b")
    assert [found[key][0::2] for key in "13"] == [("failed", "a"), ("completed", "c")]


@SIGNALS
def test_webhook_worker(emulator: Emulator, tmp_path: Path) -> None:
    """A delivery of the API brings the result of a job, and Ctrl-C stops the service."""
    take("webhook-worker.md", tmp_path)
    emulator.script(text("Five, seven, five."))
    url = f"http://127.0.0.1:{(port := free_port())}"
    env = environment(emulator, PUBLIC_URL=url, WEBHOOK_SECRET="s3cret", PORT=str(port))
    with serving(tmp_path, env, *PYTHON, "worker.py"):
        job = json.loads(ask(f"{url}/jobs", b"Write a haiku"))
        shown = json.loads(ask(f"{url}/jobs/{job['id']}"))
        assert shown == {"status": "completed", "result": "Five, seven, five."}
        with pytest.raises(HTTPError, match="400"):
            ask(f"{url}/jobs", b" ")


@SIGNALS
def test_chat(emulator: Emulator, tmp_path: Path) -> None:
    """A chat has several turns, each answered with the text of its own turn; what users do wrong is a 4xx."""
    take("chat.md", tmp_path)
    emulator.script(text("Hello"), text("there"), prompt="Say hello")
    emulator.script(text("Bye"), prompt="Say goodbye")
    url = f"http://127.0.0.1:{(port := free_port())}/chats"
    command = (*PYTHON, "-m", "uvicorn", "chat:app", "--port", str(port))
    with serving(tmp_path, environment(emulator), *command):
        assert ask(url, b'{"text": "Say hello"}', content_type="application/json") == b"Hello\n\nthere"
        next_turn = f"{url}/{emulator.tasks[0].id}"
        assert ask(next_turn, b'{"text": "Say goodbye"}', content_type="application/json") == b"Bye"
        with pytest.raises(HTTPError, match="400"):
            ask(url, b'{"text": " "}', content_type="application/json")
        unknown = Request(f"{url}/unknown", b'{"text": "Hello?"}', {"Content-Type": "application/json"})
        with pytest.raises(HTTPError, match="404"):
            urlopen(unknown, timeout=LIMIT)


@SHELL
def test_a_check_in_ci(emulator: Emulator, tmp_path: Path) -> None:
    """The agent gets the change, its final result becomes a file, its failure the exit code; no change, no task."""
    take("ci.md", tmp_path)
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    env = environment(emulator, BASE="HEAD")
    for command in (("init", "-q"), ("add", "review.sh"), ("commit", "-qm", "first")):
        assert run(tmp_path, env, *git, *command).returncode == 0
    with (tmp_path / "review.sh").open("a", encoding="utf-8") as script:
        script.write("# a change\n")
    emulator.script(text("All good."))
    done = run(tmp_path, env, "sh", "review.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "All good.\n", "")
    (request,) = emulator.log.select("POST", "/tasks")
    assert "+# a change" in request.json()["prompt"]
    emulator.script(text("Hm."), fail("no disk left"))
    assert run(tmp_path, env, "sh", "review.sh").returncode == 3
    assert run(tmp_path, env | {"BASE": "unknown"}, "sh", "review.sh").returncode == 128  # that of git
    assert len(emulator.tasks) == 2


def test_every_program_is_tested() -> None:
    """Each page of the cookbook that has a program is named in this file."""
    here = Path(__file__).read_text(encoding="utf-8")
    pages = [path.name for path in COOKBOOK.glob("*.md") if PROGRAM.search(path.read_text(encoding="utf-8"))]
    assert pages
    assert [name for name in pages if f'"{name}"' not in here] == []
