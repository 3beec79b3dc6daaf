"""The real command as a separate process, on pipes or in a terminal."""

from __future__ import annotations

import asyncio
import codecs
import os
import shlex
import struct
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define, field, frozen
from cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from rebyte_async.emulator import Emulator

__all__ = [
    "FULL_DISK",
    "Finished",
    "Terminal",
    "environment",
    "run_command",
    "run_redirected",
    "start_command",
    "start_in_terminal",
]

COMMAND = (sys.executable, "-W", "error", "-m", "rebyte_async")
FULL_DISK = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
_FOREIGN = ("REBYTE_", "PYTHONUNBUFFERED", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")


@frozen
class Finished:
    """What a command left."""

    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout."""
        return self.out.splitlines()


def environment(emulator: Emulator | None = None, **more: str) -> dict[str, str]:
    """The environment of a command that talks to an emulator, and to nothing else."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    if emulator is not None:
        env |= {"REBYTE_BASE_URL": emulator.url, "REBYTE_API_KEY": emulator.api_key}
    return env | more


@asynccontextmanager
async def start_command(*arguments: str, env: Mapping[str, str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start it on pipes, and see to it that it ends."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    try:
        yield process
    finally:
        await _end(process)


async def run_command(*arguments: str, env: Mapping[str, str], stdin: str = "") -> Finished:
    """Run it to its end on pipes."""
    async with start_command(*arguments, env=env) as process:
        out, err = await process.communicate(stdin.encode())
        return Finished(process.returncode, out.decode(), err.decode())


async def run_redirected(*arguments: str, redirection: str, env: Mapping[str, str]) -> Finished:
    """Run it to its end by a shell that redirects its standard streams; those that it doesn't are pipes."""
    if sys.platform == "win32":
        pytest.skip("Windows has no POSIX shell")
    pipe = asyncio.subprocess.PIPE
    command = f"exec {shlex.join([*COMMAND, *arguments])} {redirection}"
    process = await asyncio.create_subprocess_shell(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    out, err = await process.communicate()
    return Finished(process.returncode, out.decode(), err.decode())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


@define(eq=False)
class Terminal:
    """A command in a terminal, whose keyboard and screen are the test's."""

    process: asyncio.subprocess.Process
    _keyboard: int
    _width: int
    raw: str = field(default="", init=False)
    """Everything that was sent to the terminal."""
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _decoder: codecs.IncrementalDecoder = field(factory=codecs.getincrementaldecoder("utf-8"), init=False)

    @property
    def screen(self) -> list[str]:
        """What can be read on it, without blank lines at the end."""
        return Screen(self._width).show(self.raw)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._keyboard, keys.encode())

    async def shows(self, text: str) -> None:
        """Wait until a text can be read."""
        while not any(text in line for line in self.screen):
            self._changed.clear()
            await self._changed.wait()

    async def wait(self) -> int:
        """Wait for the end."""
        return await self.process.wait()

    def read(self) -> None:
        """Take what there is."""
        try:
            self.raw += self._decoder.decode(os.read(self._keyboard, 1 << 16))
        except (BlockingIOError, OSError):
            return
        self._changed.set()


@asynccontextmanager
async def start_in_terminal(
    *arguments: str,
    env: Mapping[str, str],
    width: int = 80,
    height: int = 40,
    program: Sequence[str] = COMMAND,
) -> AsyncGenerator[Terminal]:
    """Start it, or another program, in a terminal."""
    if sys.platform == "win32":
        pytest.skip("Windows has no terminals that a program can open")
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    os.set_blocking(ours, False)

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        env={"TERM": "xterm-256color", **env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,
    )
    terminal = Terminal(process, ours, width)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, terminal.read)
    try:
        yield terminal
    finally:
        await _end(process)
        terminal.read()
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
