"""`python -m rebyte_async.emulator`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from rebyte_async.emulator.__main__ import main, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """The emulator as its own process."""
    command = [sys.executable, "-m", "rebyte_async.emulator", "--port", "0", "--api-key", "rbk_mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_it_prints_its_url_and_key_and_stops_quietly(process: subprocess.Popen[str]) -> None:
    """The command prints two lines for a shell, serves, and ends without a traceback on Ctrl-C."""
    assert process.stdout is not None
    url, key = process.stdout.readline(), process.stdout.readline()
    base_url = re.fullmatch(r"REBYTE_BASE_URL=(http://127\.0\.0\.1:\d+/v1)\n", url)
    assert base_url is not None
    assert key == "REBYTE_API_KEY=rbk_mine\n"

    request = Request(base_url[1] + "/tasks", headers={"API_KEY": "rbk_mine"})
    with urlopen(request) as response:
        assert json.load(response)["total"] == 0
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err


def test_a_taken_port_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With a port that is taken the command prints one line on stderr, and exits with status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status = main(["--port", str(taken.getsockname()[1])])

    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert re.fullmatch(r"error: can't listen on 127\.0\.0\.1:\d+: .*address already in use.*\n", err)


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_a_wrong_port_is_a_usage_error(capsys: pytest.CaptureFixture[str], port: str) -> None:
    """The parser reports the wrong value."""
    with pytest.raises(SystemExit) as caught:
        main([f"--port={port}"])

    assert caught.value.code == 2
    assert "not a port" in capsys.readouterr().err


async def test_serve_runs_until_it_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    """Other commands can run it in their event loop."""
    serving = asyncio.create_task(serve(port=0))
    out = ""
    while "REBYTE_API_KEY=rbk_" not in out:
        await asyncio.sleep(0)
        out += capsys.readouterr().out

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
