"""`rebyte-async artifacts` and `rebyte-async files`."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest
from cli.inline import run_inline
from cli.process import environment, start_command, start_in_terminal

from rebyte_async.emulator import Match, Slow, Status, text
from support.systems import SIGNALS

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
    assert up.err.startswith("uploaded 2 files (9 bytes in ")
    rebyte_emulator.put_artifact(workspace_id, "charts/c.png", b"\x89PNG")
    listed = [json.loads(line) for line in run_inline("artifacts", "list", workspace_id, "--json", env=env).lines]
    assert [(item["filename"], item["size"]) for item in listed] == [("a.md", 4), ("b.csv", 5), ("charts/c.png", 4)]
    assert "url" not in listed[0]

    target = tmp_path / "mine.md"
    target.write_text("replaced, since it is named")
    one = run_inline("artifacts", "download", workspace_id, "a.md", "-o", str(target), env=env)
    assert (one.code, one.out, target.read_text()) == (0, f"{target}\t4\n", "a.md")
    assert one.err.startswith("downloaded a.md (4 bytes in ")
    raw = run_inline("artifacts", "download", workspace_id, "a.md", "-o", "-", env=env)
    assert (raw.code, raw.out, raw.err) == (0, "a.md", "")

    out = tmp_path / "out"
    every = run_inline("artifacts", "download", workspace_id, "--all", "-o", str(out), "--json", env=env)
    assert [json.loads(line)["size"] for line in every.lines] == [4, 5, 4]
    assert sorted(path.name for path in out.iterdir()) == ["a.md", "b.csv", "charts%2Fc.png"]
    again = run_inline("artifacts", "download", workspace_id, "--all", "-o", str(out), env=env)
    there = f"{out / 'a.md'} exists already; --force replaces files that exist"
    assert (again.code, again.out, again.err) == (1, "", f"error: nothing was downloaded: {there}\n")
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
        assert finished.err.startswith("uploaded data.csv (4 bytes in ")
        assert list(json.loads(finished.out)) == ["id", "filename"]
    assert [file.path.read_bytes() for file in rebyte_emulator.files] == [b"a,b\n"] * 2


def test_what_was_uploaded_before_is_attached_by_its_reference(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """`files upload -q` prints what `--file-ref` of create, prompt and run takes, beside files that are still here."""
    env = environment(rebyte_emulator)
    rebyte_emulator.script(text("x"), times=None)
    for name in ("a.csv", "b=c.csv", "d.csv"):
        (tmp_path / name).write_text(name)
    up = run_inline("files", "upload", str(tmp_path / "a.csv"), str(tmp_path / "b=c.csv"), "-q", env=env)
    assert (up.code, up.err) == (0, "")
    refs = up.lines
    options = [word for ref in refs for word in ("--file-ref", ref)]
    task_id = run_inline("tasks", "create", "x", *options, "-q", env=env).out.strip()
    assert run_inline("tasks", "prompt", task_id, "x", *options, "-q", env=env).code == 0
    assert run_inline("run", "x", *options, "--file", str(tmp_path / "d.csv"), "-q", env=env).code == 0
    bodies = [
        request.json() for request in rebyte_emulator.log.select("POST") if request.path.endswith(("tasks", "prompts"))
    ]
    sent = [[f"{file['id']}={file['filename']}" for file in body["files"]] for body in bodies]
    assert sent[:2] == [refs, refs]
    assert sent[2][1:] == refs
    assert run_inline("tasks", "create", " ", "--file", str(tmp_path / "d.csv"), env=env).code == 2
    assert len(rebyte_emulator.files) == 3
    for wrong in ("a.csv", "=a.csv", "id="):
        finished = run_inline("tasks", "create", "x", "--file-ref", wrong, env=env)
        assert finished.code == 2
        assert "ID=FILENAME" in finished.err


def test_what_had_arrived_is_told_when_the_rest_fails(
    rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path
) -> None:
    """A failure names what needn't be uploaded or downloaded again: files so that they can be attached as they are."""
    env = environment(rebyte_emulator)
    (tmp_path / "a.csv").write_text("a")
    rebyte_emulator.faults.add(Status(403), Match("POST", "/tasks"))
    made = run_inline("tasks", "create", "x", "--file", str(tmp_path / "a.csv"), env=env)
    (file,) = rebyte_emulator.files
    assert made.code == 8
    assert made.err.splitlines()[-1] == f"  uploaded already:  --file-ref {file.id}={file.filename}"

    rebyte_emulator.faults.add(Status(403), Match("POST", "/tasks"))
    given = f"{file.id}={file.filename}"
    again = run_inline("tasks", "create", "x", "--file", str(tmp_path / "a.csv"), "--file-ref", given, env=env)
    said = [line for line in again.err.splitlines() if "uploaded already" in line]
    newest = rebyte_emulator.files[-1]
    assert (again.code, said) == (8, [f"  uploaded already:  --file-ref {newest.id}={newest.filename}"])

    (tmp_path / "big.bin").write_bytes(b"x" * 8 * 1024 * 1024)
    rebyte_emulator.faults.add(Status(409), Match("PUT"))
    paths = [str(tmp_path / name) for name in ("a.csv", "big.bin")]
    put = run_inline("artifacts", "upload", workspace_id, *paths, env=env)
    assert put.code == 11
    assert put.err.splitlines()[-1] == "  uploaded already:  a.csv"

    rebyte_emulator.put_artifact(workspace_id, "b.md", "x")
    rebyte_emulator.faults.add(Status(403), Match("GET", ".*/b[.]md"))
    got = run_inline("artifacts", "download", workspace_id, "--all", "-o", str(tmp_path / "out"), env=env)
    assert got.code == 8
    assert got.err.splitlines()[-1] == f"  downloaded already:  {tmp_path / 'out' / 'a.csv'}"


def test_a_folder_that_cannot_be_written(rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path) -> None:
    """What this machine refuses is one line, and no traceback."""
    rebyte_emulator.put_artifact(workspace_id, "a.md", "x")
    target = str(tmp_path / "missing" / "a.md")
    finished = run_inline("artifacts", "download", workspace_id, "a.md", "-o", target, env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (1, f"error: can't write {target}: No such file or directory\n")


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_file_is_no_folder(
    rebyte_emulator: Emulator, workspace_id: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Everything goes into a folder; a file in its place isn't replaced, whatever is forced."""
    rebyte_emulator.put_artifact(workspace_id, "a.md", "x")
    (target := tmp_path / "afile").write_text("mine")
    command = ("artifacts", "download", workspace_id, "--all", "-o", str(target), *options)
    finished = run_inline(*command, env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (1, f"error: can't download into {target}: it is not a folder\n")
    assert target.read_text() == "mine"


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
    assert terminal.screen[-1] == "interrupted: files that weren't complete were removed"
    assert not any("━" in line for line in terminal.screen)
    assert list(tmp_path.iterdir()) == []


@SIGNALS
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
    assert err == b"interrupted: files that weren't complete were removed\n"
    assert list(tmp_path.iterdir()) == []


async def _slow_artifact(emulator: Emulator) -> str:
    from rebyte_async import AsyncRebyte

    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        computer = await client.agent_computers.create()
    await asyncio.to_thread(emulator.put_artifact, computer.id, "big.bin", b"x" * 3_000_000)
    emulator.faults.add(Slow(0.2))
    return computer.id
