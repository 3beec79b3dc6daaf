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
from cli.process import FULL_DISK, environment, run_command, run_redirected, start_command

from rebyte_async import AsyncRebyte, __version__, cli
from rebyte_async.cli.app import group
from rebyte_async.cli.lazy import LazyGroup
from rebyte_async.emulator import Emulator
from support.systems import SIGNALS

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


_INNER = {
    ("rebyte_async", "emulator"),  # a public module
    ("rebyte_async", "errors"),  # likewise
    ("rebyte_async.emulator.__main__", "explain_listening"),  # its own command, which this one starts
    ("rebyte_async.emulator.__main__", "serve"),  # likewise
    ("rebyte_async.emulator.document", "load_documents"),  # likewise
    ("rebyte_async._atomic", "is_device"),  # this and the next three are about files alone
    ("rebyte_async._atomic", "open_private"),
    ("rebyte_async._atomic", "replace_file"),
    ("rebyte_async._atomic", "sync_file"),
    ("rebyte_async._logging", "LEVELS"),  # what `--log` takes
    ("rebyte_async._logging", "VARIABLE"),  # where it is read from
    ("rebyte_async._terminal", "format_duration"),  # this and the next three: text that suits a terminal
    ("rebyte_async._terminal", "is_terminal"),
    ("rebyte_async._terminal", "one_line"),
    ("rebyte_async._terminal", "sanitize"),
    ("rebyte_async._transport", "make_network"),  # the proxy and the authorities that `doctor` shows
    ("rebyte_async.batch.agent_computers", "MOST_WORKSPACES"),  # the limit that `--workspaces` shows in its help
    ("rebyte_async.batch.exports", "ExportFormat"),  # the formats of `write_outcomes`, for --format
    ("rebyte_async.batch.exports", "format_outcomes"),  # what it writes to a file, for standard output
    ("rebyte_async.batch.exports", "to_jsonl"),  # likewise
    ("rebyte_async.batch.progress_bar", "Picture"),  # this and the next two: the bar and the lines of `show_progress`
    ("rebyte_async.batch.progress_bar", "TerminalBar"),
    ("rebyte_async.batch.progress_lines", "LineView"),
    ("rebyte_async.batch.progress_lines", "ProgressView"),  # their type
    ("rebyte_async.batch.progress_lines", "format_counts"),  # the counts of the last line
    ("rebyte_async.batch.rows", "ItemMaker"),  # of `items_from_rows`: options are checked before anything is read
    ("rebyte_async.batch.rows", "make_items"),  # likewise, for rows of standard input
    ("rebyte_async.batch.tables", "FORMATS"),  # the formats of tables, for --format
    ("rebyte_async.batch.tables", "TableFormat"),  # their type
    ("rebyte_async.batch.tables", "check_delimiter"),  # --delimiter, checked as `items_from_rows` checks it
    ("rebyte_async.batch.tables", "parse_table"),  # the rows of standard input
    ("rebyte_async.batch.tables", "read_table"),  # those of a file whose name doesn't say how it is written
    ("rebyte_async.batch.tables", "table_format"),  # what the name of a file says
    ("rebyte_async.resources.options", "OPTIONS"),  # the names and the help of a task's options are listed once
    ("rebyte_async.resources.options", "CreateOptions"),  # their type, for **options
    ("rebyte_async.resources.waiting", "cancel_until_terminal"),  # as `run(cancel_remote=True)` cancels
    ("rebyte_async.types.values", "to_json_value"),  # how `to_dict` converts values
    ("rebyte_async.types.values", "write_json"),  # how `to_json` writes them, however deeply they are nested
}
"""What the command imports though users can't, and why."""


def test_the_command_is_made_of_what_is_public() -> None:
    """What the command does with the package, every program can do: it imports no inner module and no inner name."""
    nodes = [
        node
        for path in Path(cli.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    imports = [(node.module, alias.name) for node in nodes for alias in node.names if node.module is not None]
    used = {(module, name) for module, name in imports if re.match(r"rebyte_async(?!\.cli)\b", module)}
    assert used >= _INNER
    used -= _INNER
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
    for name, below in _below(command).items():
        yield from _paths(below, *path, name)


def _below(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group, imported where they are lazy."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: below for name, below in found.items() if below is not None}


def test_help() -> None:
    """Every command explains itself within 100 columns."""
    commands = [" ".join(path) for path in _paths(group)]
    assert len(commands) > 30
    env = environment(COLUMNS="200")
    for finished in [run_inline(*name.split(), "--help", env=env) for name in commands]:
        assert (finished.code, finished.err) == (0, "")
        assert finished.lines[0].startswith("Usage: rebyte-async")
        assert max(map(len, finished.lines)) <= 100


def test_the_help_of_a_group_says_what_its_commands_say() -> None:
    """The line of a lazy command in the help of its group is the beginning of the command's own help."""
    checked = 0
    for path in _paths(group):
        command = _find(path)
        for name, entry in command.entries.items() if isinstance(command, LazyGroup) else ():
            assert (name, entry.help) == (name, entry.load().get_short_help_str(200))
            checked += 1
    assert checked > 15


def _find(path: tuple[str, ...]) -> click.Command:
    """The command at a path."""
    command: click.Command = group
    for name in path:
        command = _below(command)[name]
    return command


@SIGNALS
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


async def test_emulator_with_faults_and_a_log() -> None:
    """The emulator takes what its own command takes: faults, a log on stderr, and lines for a shell."""
    arguments = ("emulator", "--port", "0", "--api-key", "rbk_mine", "--fault", "status=503", "--log", "--export")
    async with start_command(*arguments, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        settings = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        assert settings[1] == "export REBYTE_API_KEY=rbk_mine"
        async with AsyncRebyte("rbk_mine", base_url=settings[0].removeprefix("export REBYTE_BASE_URL=")) as client:
            assert (await client.tasks.list()).total == 0
        lines = [(await process.stderr.readline()).decode().split(" ", 1)[1] for _ in range(2)]
        assert lines == ["GET /tasks 503 Status\n", "GET /tasks 200\n"]
        process.kill()


@pytest.mark.parametrize("argument", ["--fault=nope", "--script=none.json"])
async def test_emulator_with_a_mistake(argument: str) -> None:
    """A script or a fault that can't be read is an error before anything listens."""
    finished = await run_command("emulator", argument, env=environment())
    assert (finished.code, finished.out) == (2, "")
    assert "there is no fault 'nope'" in finished.err or "none.json: No such file" in finished.err


async def test_emulator_on_a_port_that_is_taken() -> None:
    """A port that is taken is one line on stderr."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        finished = await run_command("emulator", "--port", port, env=environment())
    assert (finished.code, finished.out) == (1, "")
    assert f"error: can't listen on 127.0.0.1:{port}:" in finished.err
    assert finished.err.endswith("; --port 0 takes a free one\n")


@pytest.mark.parametrize(
    ("version", "is_used"), [("0.22.1", False), ("", False), ("0.23.0", True), ("0.23rc1", True), ("1", True)]
)
async def test_uvloop_is_used_from_the_first_version_that_closes_sockets_once(
    emulator: Emulator, tmp_path: Path, version: str, is_used: bool
) -> None:
    """An older one may close the socket of another connection after a connect that was cancelled."""
    stub = f"import os\n__version__ = {version!r}\ndef new_event_loop(): os._exit(77)\n"
    (tmp_path / "uvloop.py").write_text(stub)
    done = await run_command("tasks", "list", env=environment(emulator, PYTHONPATH=str(tmp_path)))
    assert done.code == (77 if is_used else 0)


async def test_output_without_a_reader() -> None:
    """Help into a pipe without a reader ends quietly; a command whose stdout is closed does its work."""
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


@pytest.mark.parametrize("redirection", ["<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("run p", 0),
        ("run -", 2),
        ("files upload - --filename name", 2),
        ("batch run - --journal j.sqlite3", 2),
        ("batch run /dev/stdin --journal j.sqlite3", 2),
        ("webhooks delete absent", 9),
    ],
)
async def test_closed_standard_streams(emulator: Emulator, arguments: str, code: int, redirection: str) -> None:
    """A command whose standard streams are closed does its work, unless it reads stdin."""
    finished = await run_redirected(*arguments.split(), redirection=redirection, env=environment(emulator))
    assert finished.code == code
    assert "Traceback" not in finished.err
    assert ("stdin is closed" in finished.err) == (" - " in f"{arguments} " and ">" not in redirection)


@FULL_DISK
@pytest.mark.parametrize("arguments", ["--help", "completion bash", "demo --fast", "doctor", "tasks list --json"])
async def test_a_full_disk(emulator: Emulator, arguments: str) -> None:
    """Output that can't be written is one line on stderr."""
    await run_command("tasks", "create", "x", env=environment(emulator))
    finished = await run_redirected(*arguments.split(), redirection=">/dev/full", env=environment(emulator))
    assert (finished.code, finished.err) == (1, "error: No space left on device\n")


async def test_log_writes_what_the_sdk_does() -> None:
    """`--log` writes the SDK's log to stderr, and precedes `REBYTE_LOG`; a wrong one of these is a usage error."""
    async with Emulator(pace=0) as emulator:
        env = environment(emulator, REBYTE_LOG="error")
        done = await run_command("--log", "debug", "tasks", "list", env=env)
        quiet = await run_command("tasks", "list", env=env)
        wrong = await run_command("tasks", "list", env=environment(emulator, REBYTE_LOG="loud"))
    assert done.err.endswith("DEBUG rebyte_async: GET /v1/tasks: 200\n")
    assert quiet.err == ""
    assert (wrong.code, wrong.out) == (2, "")
    assert "REBYTE_LOG must be one of" in wrong.err
