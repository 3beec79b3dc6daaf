"""`python -m rebyte_async.emulator`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from yarl import URL

from rebyte_async import AsyncRebyte
from rebyte_async.emulator.__main__ import main, serve
from rebyte_async.emulator.document import read_document
from support.systems import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """The emulator as its own process."""
    command = [sys.executable, "-m", "rebyte_async.emulator", "--port", "0", "--api-key", "rbk_mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@SIGNALS
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
    assert re.fullmatch(
        r"error: can't listen on 127\.0\.0\.1:\d+: .*address already in use.*; --port 0 takes a free one\n", err
    )


def test_an_address_of_another_machine_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Where another port wouldn't help, the command suggests none."""
    assert main(["--host", "192.0.2.1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: can't listen on 192.0.2.1:8787: ")
    assert "--port" not in err


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_a_wrong_port_is_a_usage_error(capsys: pytest.CaptureFixture[str], port: str) -> None:
    """The parser reports the wrong value."""
    with pytest.raises(SystemExit) as caught:
        main([f"--port={port}"])

    assert caught.value.code == 2
    assert "not a port" in capsys.readouterr().err


@SIGNALS
@pytest.mark.parametrize("command", [["rebyte_async.emulator"], ["rebyte_async", "emulator"]], ids=" ".join)
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_command_in_order(tmp_path: Path, command: list[str], number: str) -> None:
    """Both commands end with status 0, without a traceback and without files, even in the middle of an upload."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    arguments = [sys.executable, "-m", *command, "--port", "0"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        url, key = (process.stdout.readline().strip().partition("=")[2] for _ in range(2))
        try:
            with _half_an_upload(url, key):
                while process.poll() is None and not [path for path in tmp_path.rglob("*") if _has_content(path)]:
                    time.sleep(0.01)
                process.send_signal(signal.Signals[number])
                _, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert (process.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "Traceback" not in err


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except FileNotFoundError:  # removed in between
        return False


@contextmanager
def _half_an_upload(url: str, key: str) -> Generator[None]:
    headers = {"API_KEY": key, "Content-Type": "application/json"}
    with urlopen(Request(url + "/files", b'{"filename": "a"}', headers)) as response:
        upload_url = URL(json.load(response)["uploadUrl"], encoded=True)
    with socket.create_connection((upload_url.host, upload_url.port)) as connection:
        head = f"PUT {upload_url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\nhalf".encode())
        yield


@SIGNALS
def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """With nohup the command outlives its terminal."""
    arguments = ["nohup", sys.executable, "-m", "rebyte_async.emulator", "--port", "0"]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(arguments, stdout=pipe, stderr=nowhere, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().partition("=")[2].removesuffix("/v1")
        process.send_signal(signal.Signals["SIGHUP"])
        with urlopen(url + "/health") as response:
            assert json.load(response) == {"status": "ok"}
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("host", "reachable", "is_private"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "localhost", True),
        ("0.0.0.0", "127.0.0.1", False),
        ("::", "[::1]", False),
    ],
)
async def test_the_printed_address_is_reachable(
    capsys: pytest.CaptureFixture[str], unused_port: int, host: str, reachable: str, is_private: bool
) -> None:
    """A client can use it, and upload to the storage's port; what others need to know is on stderr."""
    serving = asyncio.create_task(serve(host=host, port=0, storage_port=unused_port, api_key="rbk_mine"))
    out, err = "", ""
    while "REBYTE_API_KEY=rbk_mine\n" not in out:
        await asyncio.sleep(0)
        new = capsys.readouterr()
        out, err = out + new.out, err + new.err
    url = out.splitlines()[0].removeprefix("REBYTE_BASE_URL=")
    async with AsyncRebyte("rbk_mine", base_url=url) as client:
        await client.files.upload(b"x", filename="a")
    serving.cancel()
    await asyncio.wait([serving])

    assert re.fullmatch(rf"http://{re.escape(reachable)}:\d+/v1", url)
    assert (err == "") == is_private
    assert is_private or f"and {unused_port} (uploads)" in err


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


@pytest.mark.parametrize("argument", ["--fault=nope", "--script=none.json"])
def test_what_cannot_be_read_is_named(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong script or fault is one line on stderr and status 2, before anything listens."""
    assert main(["--port", "0", argument]) == 2
    assert re.fullmatch("error: ('nope': there is no fault .*|none.json: No such file .*)\n", capsys.readouterr().err)


async def test_a_script_and_the_log_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command plays a script, shows requests as they come, and prints lines that a shell can take as commands."""
    document = read_document({"scripts": [{"steps": [{"text": "Hi"}]}], "faults": [{"drop": None}, {"status": 429}]})
    serving = asyncio.create_task(serve(port=0, api_key="rbk_x", document=document, log=True, export=True, pace=0))
    lines = ""
    while lines.count("\n") < 2:
        await asyncio.sleep(0)
        lines += capsys.readouterr().out
    url = lines.splitlines()[0].removeprefix("export REBYTE_BASE_URL=")
    async with AsyncRebyte(api_key="rbk_x", base_url=url) as client:
        assert (await client.tasks.list()).total == 0
        assert (await client.tasks.run("Say hi")).text == "Hi"
    serving.cancel()
    await asyncio.wait([serving])

    logged = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines.splitlines()[1] == "export REBYTE_API_KEY=rbk_x"
    assert logged[:4] == ["GET /tasks dropped Drop Status", "GET /tasks 200", "POST /tasks 201", logged[3]]
