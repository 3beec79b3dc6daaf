"""The command itself: its help, its version, and what it needs."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli.inline import run_inline
from cli.process import environment, run_command, start_command

from rebyte_async import AsyncRebyte, __version__, cli
from rebyte_async.cli.app import group

_BLOCKED = """
import sys
sys.modules[sys.argv.pop(1)] = None
from rebyte_async.cli import main
main()
"""


@pytest.mark.parametrize("name", ["click", "rich"])
def test_a_missing_extra(name: str) -> None:
    """Without click or rich, one line says what to install."""
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED, name, "demo"], capture_output=True, text=True, check=False, env=environment()
    )
    assert (done.returncode, done.stdout) == (14, "")
    assert done.stderr.endswith("the command needs an extra: pip install 'rebyte-async[cli]'\n")
    assert done.stderr.count("\n") == 1


def test_the_command_is_made_of_what_is_public() -> None:
    """What the command does with the package, everybody can do: it imports no inner module and no inner name."""
    nodes = [
        node
        for path in Path(cli.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    imports = [(node.module, alias.name) for node in nodes for alias in node.names if node.module is not None]
    used = {(module, name) for module, name in imports if re.match(r"rebyte_async(?!\.cli)\b", module)}
    used -= {("rebyte_async.emulator.__main__", "serve")}  # a command of its own, which this one starts
    assert len(used) > 50
    assert not [module for module, _ in used if "._" in module]
    assert not [(module, name) for module, name in used if name not in importlib.import_module(module).__all__]


def test_the_package_imports_no_command() -> None:
    """Importing the package imports neither the command nor what it needs."""
    script = "import sys, rebyte_async; print(sorted({'click', 'rich', 'rebyte_async.cli'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_version() -> None:
    """The version is that of the package."""
    finished = await run_command("--version", env=environment())
    assert (finished.code, finished.out) == (0, f"rebyte-async {__version__}\n")


def _paths(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    """The ways to a command and to all below it."""
    yield path
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from _paths(below, *path, name)


def test_help() -> None:
    """Every command explains itself within 100 columns."""
    commands = [" ".join(path) for path in _paths(group)]
    assert len(commands) > 30
    env = environment(COLUMNS="200")
    for finished in [run_inline(*name.split(), "--help", env=env) for name in commands]:
        assert (finished.code, finished.err) == (0, "")
        assert finished.lines[0].startswith("Usage: rebyte-async")
        assert max(map(len, finished.lines)) <= 100


async def test_emulator() -> None:
    """The emulator prints its two settings on stdout, answers, and Ctrl-C ends it as its normal end."""
    async with start_command("emulator", "--port", "0", "--api-key", "rbk_mine", env=environment()) as process:
        assert process.stdout is not None
        settings = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        url = settings[0].removeprefix("REBYTE_BASE_URL=")
        assert settings[1] == "REBYTE_API_KEY=rbk_mine"
        async with AsyncRebyte("rbk_mine", base_url=url) as client:
            assert (await client.tasks.run("x")).status == "completed"
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, out) == (0, b"")
        assert err.decode().startswith("Ctrl-C stops it.")
        assert err.count(b"\n") == 1


async def test_emulator_on_a_port_that_is_taken() -> None:
    """A port that is taken is one line on stderr."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        finished = await run_command("emulator", "--port", port, env=environment())
    assert (finished.code, finished.out) == (1, "")
    assert f"error: can't listen on 127.0.0.1:{port}:" in finished.err


async def test_output_that_leads_nowhere() -> None:
    """Help into a pipe that nobody reads ends quietly; a command whose stdout is closed does its work."""
    command = f"{sys.executable} -W error -m rebyte_async"
    process = await asyncio.create_subprocess_shell(
        f"{command} --help | true; echo ${{PIPESTATUS[0]}}; {command} demo --fast >&-; echo $?",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        executable="/bin/bash",
        env=environment(),
    )
    out, err = await process.communicate()
    assert err == b""
    assert out.split() in ([b"141", b"0"], [b"0", b"0"])
