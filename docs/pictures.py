"""Draws the pictures of the pages from real runs on a terminal of this machine, against the emulator.

    python docs/pictures.py              # all pictures, into docs/assets
    python docs/pictures.py demo --fast  # one of them, without the time that an agent takes

It needs the extra `cli` and a POSIX system. A new run changes ids and times, and nothing else.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rebyte_async.emulator import Emulator, fail, pause, text, tool_result, tool_use

COLUMNS = 92
ASSETS = Path(__file__).parent / "assets"
COMMAND = (sys.executable, "-m", "rebyte_async")
TOKEN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")
FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Rich's pictures load a font from a server of others; a page of ours loads nothing."""


class Terminal:
    """Keeps the lines of a terminal; it knows just the control sequences that the command uses."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0

    def feed(self, written: str) -> None:
        for token in TOKEN.findall(written):
            if token == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif token == "\x1b[2K":
                self.lines[self.row] = ""
            elif token == "\x1b[1A":
                self.row = max(0, self.row - 1)
            elif token[0] != "\r" and (token[0] != "\x1b" or token[-1] == "m"):
                self.lines[self.row] += token

    def show(self) -> list[str]:
        return "\n".join(self.lines).rstrip().split("\n")


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[list[str]]:
    """Run the command on a terminal, and yield what the terminal shows after each change."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    own = {
        "COLUMNS": str(COLUMNS),
        "LINES": "60",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONIOENCODING": "utf-8",
    }
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    settings = inherited | own | dict(environment or {})
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=settings,
        cwd=cwd,
    ):
        os.close(theirs)
        terminal, pending = Terminal(), b""
        while chunk := _read(ours):
            whole, newline, pending = (pending + chunk).rpartition(
                b"\r"
            )  # a sequence or a character may be cut
            terminal.feed((whole + newline).decode())
            yield terminal.show()
        terminal.feed(pending.decode())
        yield terminal.show()
    os.close(ours)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux reports the end of the other side so
        return b""


def draw(lines: list[str], title: str, target: Path) -> None:
    """Write lines with their colors as an SVG of a terminal's window."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=StringIO(),
        force_terminal=True,
        legacy_windows=False,
    )
    for line in lines:
        console.print(Text.from_ansi(line))
    picture = console.export_svg(title=title, unique_id=target.stem)
    target.write_text(FONT_FACES.sub("", picture), encoding="utf-8")


def draw_demo(folder: Path, *, fast: bool) -> None:
    """`rebyte-async demo`, to the end of the task."""
    *_, lines = run("demo", *(["--fast"] if fast else []))
    end = next(number for number, line in enumerate(lines) if "completed" in line)
    draw(lines[: end + 1], "rebyte-async demo", folder / "demo.svg")


def draw_batch(folder: Path, *, fast: bool) -> None:
    """`rebyte-async batch run`, when three quarters of the items are done."""
    pace = 0.1 if fast else 1.0
    with tempfile.TemporaryDirectory() as place, Emulator(pace=0) as emulator:
        for number in range(40):
            seconds = pace * (0.6 + number * 7 % 11 / 5)
            end = (
                fail("the file is empty")
                if number in {5, 19}
                else text(f"Report {number} is fine.")
            )
            emulator.script(
                tool_use("Read"),
                pause(seconds),
                tool_result("…"),
                end,
                prompt=f"report {number}.",
            )
        items = (
            {"key": f"report-{number}", "prompt": f"Summarise report {number}."}
            for number in range(40)
        )
        Path(place, "items.jsonl").write_text(
            "\n".join(map(json.dumps, items)), encoding="utf-8"
        )
        environment = {"REBYTE_BASE_URL": emulator.url, "REBYTE_API_KEY": emulator.api_key}
        arguments = (
            "batch",
            "run",
            "items.jsonl",
            "--journal",
            "run.sqlite3",
            "--concurrency",
            "8",
        )
        shown: list[str] = []
        for lines in run(*arguments, environment=environment, cwd=Path(place)):
            if not shown and re.search(
                r"3\d of 40 done.*slowest", "\n".join(lines), re.DOTALL
            ):
                shown = lines
    draw(
        [f"$ rebyte-async {' '.join(arguments)}", *shown],
        "rebyte-async batch run",
        folder / "batch.svg",
    )


PICTURES = {"demo": draw_demo, "batch": draw_batch}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(PICTURES)}; all if none is given",
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--folder", type=Path, default=ASSETS)
    chosen = parser.parse_args()
    for name in chosen.names or PICTURES:
        PICTURES[name](chosen.folder, fast=chosen.fast)
