"""What the command prints of a service whose every text is hostile: nothing that a terminal would obey."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cli.inline import run_inline

from support.hostile_service import EVIL, hostile_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = [
    "tasks list",
    "tasks list --json",
    "tasks get t",
    "tasks get t --json",
    "tasks create hi",
    "tasks create hi --quiet",
    "tasks create hi --file FILE",
    "tasks create hi --workspace w",
    "tasks prompt t hi",
    "tasks prompt t hi --quiet",
    "tasks wait t",
    "tasks wait t --quiet",
    "tasks cancel t",
    "tasks delete t --yes",
    "tasks visibility t public",
    "tasks content t",
    "tasks content t --events",
    "run hi",
    "run hi --json",
    "run hi --quiet",
    "run hi --file FILE",
    "run hi --task-id t",
    "run hi --download FOLDER",
    "events t",
    "events t --json",
    "events t --quiet",
    "answer t --option 9",
    "answer asking",
    "answer asking --option 9",
    "answer asking --option 1=9",
    "answer asking --text 1=hi",
    "cancel t",
    "computers list",
    "computers get c",
    "computers create",
    "computers create --quiet",
    "computers create --wait",
    "computers create --wait --quiet",
    "computers wait c",
    "computers update c --instructions hi",
    "computers update c --show sandbox",
    "computers delete c --yes",
    "files upload FILE",
    "files upload FILE --quiet",
    "artifacts list w",
    "artifacts list w --json",
    "artifacts download w a -o FOLDER",
    "artifacts download w --all -o FOLDER",
    "artifacts upload w FILE",
    "artifacts url w a b",
    "artifacts url w a b --json",
    "artifacts delete w a --yes",
    "webhooks list",
    "webhooks get h",
    "webhooks create https://hooks.example/x -e task.failed",
    "webhooks create https://hooks.example/x -e task.failed --quiet",
    "webhooks delete h --yes",
    "webhooks public-key",
    "doctor",
    "doctor --json",
    "batch run ITEMS --journal JOURNAL",
    "batch run ITEMS --journal JOURNAL --out FOLDER/out.jsonl",
    "batch status RUN",
    "batch status RUN --json",
    "batch export RUN",
    "batch export RUN --format jsonl",
    "batch report RUN --html FOLDER/page.html",
    "batch retry RUN --failed --canceled",
]
ONE_LINE = [
    command
    for command in COMMANDS
    if command.endswith("--quiet") and not command.startswith(("run", "events", "tasks wait"))
]

_OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AK]|\r")
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module", params=[False, True], ids=["responds", "refuses"])
def fails(request: pytest.FixtureRequest) -> bool:
    """Whether the service refuses everything."""
    return bool(request.param)


@pytest.fixture(scope="module")
def env(fails: bool) -> Iterator[dict[str, str]]:
    """The environment of a command that talks to the hostile service."""
    with hostile_service(fails=fails) as url:
        yield {"REBYTE_API_KEY": "rbk_test", "REBYTE_BASE_URL": url, "TERM": "xterm-256color", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def journal(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a batch that has ended."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "items").write_text(f"{EVIL!r}\n", "utf-8")
    run_inline("batch", "run", f"{folder}/items", "--journal", f"{folder}/run.sqlite3", env=env)
    return folder / "run.sqlite3"


def fill(command: str, folder: Path, journal: Path) -> list[str]:
    """Return a command's arguments, with the files that it is about."""
    (folder / "out").mkdir()
    (folder / "items").write_text("Do this\n", "utf-8")
    names = {"ITEMS": "items", "FILE": "items", "JOURNAL": "new.sqlite3", "FOLDER": "out"}
    for name, file in names.items():
        command = command.replace(name, str(folder / file))
    return command.replace("RUN", str(journal)).split()


@pytest.mark.parametrize("is_terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_printed_that_a_terminal_would_obey(
    command: str, env: dict[str, str], tmp_path: Path, journal: Path, *, is_terminal: bool
) -> None:
    """No escape sequence, control character or change of direction of the service's reaches an output."""
    arguments = fill(command, tmp_path, journal)
    finished = run_inline(*arguments, env=env, stdin="9\n1\n" * 8, is_terminal=is_terminal)
    for printed in (finished.out, finished.err):
        own = _OWN.sub("", printed) if is_terminal else printed
        assert _OBEYED.findall(own) == [], ascii(own)


@pytest.mark.parametrize("command", ONE_LINE)
def test_an_id_alone_is_one_line(command: str, tmp_path: Path, journal: Path) -> None:
    """What scripts read with `$(...)` is one value, also where the service's id has line ends."""
    with hostile_service() as url:
        env = {"REBYTE_API_KEY": "rbk_test", "REBYTE_BASE_URL": url}
        finished = run_inline(*fill(command, tmp_path, journal), env=env)
    assert finished.code == 0
    assert len(finished.out.splitlines()) == 1
