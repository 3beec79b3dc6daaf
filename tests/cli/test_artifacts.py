"""`rebyte-async artifacts` and `rebyte-async files`."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest
from cli.inline import run_inline
from cli.process import environment, start_command, start_in_terminal

from rebyte_async.emulator import Slow

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async.emulator import Emulator


@pytest.fixture
def workspace_id(rebyte_emulator: Emulator) -> str:
    """A workspace without artifacts."""
    return run_inline("computers", "create", "-q", env=environment(rebyte_emulator)).out.strip()


def test_artifacts_from_upload_to_delete(rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path) -> None:
    """Artifacts are uploaded, listed, downloaded one by one and all together, and deleted."""
    env = environment(rebyte_emulator)
    for name in ("a.md", "b.csv"):
        (tmp_path / name).write_text(name)
    up = run_inline("artifacts", "upload", workspace_id, str(tmp_path / "a.md"), str(tmp_path / "b.csv"), env=env)
    assert (up.code, [line.split("\t")[0] for line in up.lines]) == (0, ["a.md", "b.csv"])
    assert up.err.startswith("uploaded 2 files (9 B in ")
    rebyte_emulator.put_artifact(workspace_id, "charts/c.png", b"\x89PNG")
    listed = [json.loads(line) for line in run_inline("artifacts", "list", workspace_id, "--json", env=env).lines]
    assert [(item["name"], item["size"]) for item in listed] == [("a.md", 4), ("b.csv", 5), ("charts/c.png", 4)]
    assert "url" not in listed[0]

    target = tmp_path / "mine.md"
    target.write_text("replaced, since it is named")
    one = run_inline("artifacts", "download", workspace_id, "a.md", "-o", str(target), env=env)
    assert (one.code, one.out, target.read_text()) == (0, f"{target}\t4\n", "a.md")
    assert one.err.startswith("downloaded a.md (4 B in ")
    raw = run_inline("artifacts", "download", workspace_id, "a.md", "-o", "-", env=env)
    assert (raw.code, raw.out, raw.err) == (0, "a.md", "")

    out = tmp_path / "out"
    every = run_inline("artifacts", "download", workspace_id, "--all", "-o", str(out), "--json", env=env)
    assert [json.loads(line)["size"] for line in every.lines] == [4, 5, 4]
    assert sorted(path.name for path in out.iterdir()) == ["a.md", "b.csv", "charts%2Fc.png"]
    again = run_inline("artifacts", "download", workspace_id, "--all", "-o", str(out), env=env)
    assert (again.code, again.out) == (1, "")
    assert "a.md and 2 more; --force replaces that" in again.err
    assert run_inline("artifacts", "download", workspace_id, "--all", "-o", str(out), "--force", env=env).code == 0

    assert run_inline("artifacts", "delete", workspace_id, "a.md", env=env).code == 0
    assert len(rebyte_emulator.artifacts(workspace_id)) == 2
    assert run_inline("artifacts", "delete", workspace_id, "--all", "--yes", env=env).code == 0
    assert not rebyte_emulator.artifacts(workspace_id)
    assert run_inline("artifacts", "download", workspace_id, "a.md", "-o", str(out), env=env).code == 9


def test_signed_urls_and_files(rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path) -> None:
    """Signed URLs are printed where they are asked for; files come from paths and from stdin."""
    env = environment(rebyte_emulator)
    url = run_inline("artifacts", "url", workspace_id, "a.md", env=env)
    assert url.out.startswith("a.md\ttext/markdown\thttp://127.0.0.1:")
    (tmp_path / "data.csv").write_text("a,b\n")
    for finished in (
        run_inline("files", "upload", str(tmp_path / "data.csv"), "--json", env=env),
        run_inline("files", "upload", "-", "--filename", "data.csv", "--json", env=env, stdin=b"a,b\n"),
    ):
        assert finished.code == 0
        assert finished.err.startswith("uploaded data.csv (4 B in ")
        assert list(json.loads(finished.out)) == ["id", "filename"]
    assert [file.path.read_bytes() for file in rebyte_emulator.files] == [b"a,b\n"] * 2


def test_a_folder_that_can_not_be_written(rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path) -> None:
    """What this machine refuses is one line, and no traceback."""
    rebyte_emulator.put_artifact(workspace_id, "a.md", "x")
    target = str(tmp_path / "missing" / "a.md")
    finished = run_inline("artifacts", "download", workspace_id, "a.md", "-o", target, env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (1, f"error: can't write {target}: No such file or directory\n")


async def test_a_progress_bar_in_a_terminal(emulator: Emulator, tmp_path: Path) -> None:
    """In a terminal a download has a bar, which Ctrl-C ends together with what had come; then nothing is left."""
    workspace_id = await _slow_artifact(emulator)
    options = ("artifacts", "download", workspace_id, "big.bin", "-o", str(tmp_path))
    async with start_in_terminal(*options, env=environment(emulator), width=60) as terminal:
        await terminal.shows("%")
        assert terminal.screen[-1].startswith("big.bin ")
        assert "━" in terminal.screen[-1]
        terminal.press("\x03")
        assert await terminal.wait() == 130
    assert terminal.screen[-1] == "interrupted: what had not come whole was not kept"
    assert not any("━" in line for line in terminal.screen)
    assert list(tmp_path.iterdir()) == []


async def test_an_interrupted_download_leaves_nothing(emulator: Emulator, tmp_path: Path) -> None:
    """Off a terminal there is no bar; SIGINT exits with 130, and no part of the file stays."""
    workspace_id = await _slow_artifact(emulator)
    options = ("artifacts", "download", workspace_id, "--all", "-o", str(tmp_path))
    async with start_command(*options, env=environment(emulator)) as process:
        while not list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert err == b"interrupted: what had not come whole was not kept\n"
    assert list(tmp_path.iterdir()) == []


async def _slow_artifact(emulator: Emulator) -> str:
    from rebyte_async import AsyncRebyte

    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        computer = await client.agent_computers.create()
    await asyncio.to_thread(emulator.put_artifact, computer.id, "big.bin", b"x" * 3_000_000)
    emulator.faults.add(Slow(0.2))
    return computer.id
