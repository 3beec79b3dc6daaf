"""`rebyte-async run --download`: the artifacts of a run, in a folder, when it has ended."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment, start_command, start_in_terminal

from rebyte_async.emulator import Match, Slow, Status, artifact, fail, hold, succeed, text

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async.emulator import Emulator

HOSTILE = ["../up.txt", "/etc/passwd", "a/b.txt", "x\x1b[31m.txt"]


def test_the_files_are_there_and_named_at_the_end(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """Every artifact is in the folder, which is made; the lines after the end name them, and so does the JSON."""
    steps = (text("Done."), artifact("report.md", "# Hi"), artifact("c.bin", b"123"), succeed("Done."))
    rebyte_emulator.script(*steps, times=2)
    env = environment(rebyte_emulator)
    folder = tmp_path / "new" / "out"
    plain = run_inline("run", "x", "--download", str(folder), env=env)
    assert (plain.code, plain.err) == (0, "")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"report.md": b"# Hi", "c.bin": b"123"}
    assert sorted(plain.lines[-2:]) == [
        f"-- downloaded {folder / 'c.bin'} (3 bytes)",
        f"-- downloaded {folder / 'report.md'} (4 bytes)",
    ]
    shown = run_inline("run", "x", "--download", str(tmp_path / "2"), "--json", env=env)
    end = json.loads(shown.lines[-1])
    assert (shown.code, shown.err, end["event_type"]) == (0, "", "done")
    task = rebyte_emulator.tasks[-1]
    assert end["payload"]["workspace_id"] == task.workspace_id
    assert sorted(end["payload"]["files"], key=lambda file: file["name"]) == [
        {"name": "c.bin", "path": str(tmp_path / "2" / "c.bin"), "size": 3},
        {"name": "report.md", "path": str(tmp_path / "2" / "report.md"), "size": 4},
    ]


def test_names_from_the_agent_stay_in_the_folder(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """Whatever an artifact is called, its file is in the folder, and its name can't disturb the terminal."""
    rebyte_emulator.script(*(artifact(name, "x") for name in HOSTILE), succeed("Done."))
    folder = tmp_path / "out"
    finished = run_inline("run", "x", "--download", str(folder), env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len([path for path in folder.iterdir() if path.is_file()]) == len(HOSTILE)
    assert all(line.isprintable() for line in finished.lines)


def test_a_run_that_failed_leaves_its_artifacts_too(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """The files are downloaded however the run has ended, and the exit code is that of the run."""
    rebyte_emulator.script(artifact("log.txt", "x"), fail("no"))
    finished = run_inline("run", "x", "-q", "--download", str(tmp_path), env=environment(rebyte_emulator))
    assert (finished.code, finished.out) == (3, "")
    assert (tmp_path / "log.txt").read_text() == "x"


def test_a_run_without_artifacts(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """Nothing to download is said, and no failure."""
    finished = run_inline("run", "x", "--download", str(tmp_path), env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (0, "")
    assert finished.lines[-1] == "-- no artifacts to download"


def test_files_that_exist_stay_without_force(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """A file of the user isn't replaced: the run's result is shown, and how to get the artifacts."""
    rebyte_emulator.script(artifact("a.md", "new"), succeed("Done."), times=2)
    (tmp_path / "a.md").write_text("mine")
    env = environment(rebyte_emulator)
    finished = run_inline("run", "x", "-q", "--download", str(tmp_path), env=env)
    (task,) = rebyte_emulator.tasks
    assert (finished.code, finished.out) == (1, "Done.\n")
    assert finished.err.splitlines() == [
        f"error: nothing was downloaded: {tmp_path / 'a.md'} exists already; --force replaces files that exist",
        f"  download them:   rebyte-async artifacts download {task.workspace_id} --all -o {tmp_path}",
    ]
    assert (tmp_path / "a.md").read_text() == "mine"
    assert run_inline("run", "x", "--download", str(tmp_path), "--force", env=env).code == 0
    assert (tmp_path / "a.md").read_text() == "new"


def test_a_download_that_fails(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """Its exit code is that of its error where the run completed, else the run's; no part of a file stays."""
    rebyte_emulator.script(artifact("a.md", "new"), succeed("Done."), prompt="good")
    rebyte_emulator.script(artifact("a.md", "new"), fail("no"), prompt="bad")
    rebyte_emulator.faults.add(Status(403), Match("GET", ".*/a[.]md"), times=None)
    env = environment(rebyte_emulator)
    good = run_inline("run", "good", "--json", "--download", str(tmp_path), env=env)
    end = json.loads(good.lines[-1])
    assert (good.code, end["event_type"], end["payload"]["files"]) == (8, "done", None)
    assert "download them:" in good.err
    bad = run_inline("run", "bad", "--download", str(tmp_path), env=env)
    assert bad.code == 3
    assert "failed: no" in bad.err
    assert "the key may not do this" in bad.err
    assert list(tmp_path.iterdir()) == []


def test_the_next_turn_of_a_task(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """The workspace of an earlier task is looked up; where the service doesn't say it, that is the error."""
    rebyte_emulator.script(artifact("a.md", "x"), succeed("Done."), times=None)
    env = environment(rebyte_emulator)
    task_id = run_inline("tasks", "create", "x", "-q", env=env).out.strip()
    run_inline("tasks", "wait", task_id, env=env)
    finished = run_inline("run", "more", "--task-id", task_id, "--download", str(tmp_path), env=env)
    assert (finished.code, finished.err) == (0, "")
    assert (tmp_path / "a.md").exists()


def test_what_cannot_be_right(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """A folder that can't be made, and --force alone, are refused before anything is started."""
    (tmp_path / "file").write_text("x")
    env = environment(rebyte_emulator)
    for wrong in (["--download", str(tmp_path / "file")], ["--download", str(tmp_path / "file" / "in")], ["--force"]):
        finished = run_inline("run", "x", *wrong, env=env)
        assert (finished.code, finished.out) == (2, "")
    assert not rebyte_emulator.log


async def test_an_interrupted_download_leaves_nothing(emulator: Emulator, tmp_path: Path) -> None:
    """Ctrl-C while files come exits with 130, leaves no part of them, and says how to get them."""
    emulator.script(artifact("big.bin", b"x" * 3_000_000), succeed("Done."))
    emulator.faults.add(Slow(0.2), Match("GET", ".*/big[.]bin"))
    async with start_command("run", "x", "--download", str(tmp_path), env=environment(emulator)) as process:
        while not list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    (task,) = emulator.tasks
    assert process.returncode == 130
    assert err.decode().splitlines() == [
        f"interrupted: task {task.id} had already completed",
        f"  download them:   rebyte-async artifacts download {task.workspace_id} --all -o {tmp_path}",
    ]
    assert list(tmp_path.iterdir()) == []


async def test_a_terminal_shows_how_far_a_download_is(emulator: Emulator, tmp_path: Path) -> None:
    """The status line says how much has come; at the end the files are named."""
    emulator.script(hold("gate"), artifact("big.bin", b"x" * 3_000_000), succeed("Done."))
    emulator.faults.add(Slow(0.05), Match("GET", ".*/big[.]bin"))
    arguments = ("run", "x", "--download", str(tmp_path))
    async with start_in_terminal(*arguments, env=environment(emulator), width=200) as terminal:
        await terminal.shows("waiting for the agent")
        emulator.release("gate")
        await terminal.shows("downloading all artifacts")
        assert await terminal.wait() == 0
    assert terminal.screen[-1] == f"· downloaded {tmp_path / 'big.bin'} (3.0 MB)"
