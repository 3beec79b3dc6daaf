"""Whole turns with files: uploads go to the agent computer, artifacts come out of its workspace."""

from __future__ import annotations

import asyncio
import csv
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from emulator.raw_client import RawClient
from emulator.raw_workspace import RawWorkspace
from rebyte_async.emulator import Emulator, Turn, artifact, hold, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async.emulator import Steps


async def _attach(http: RawClient, filename: str, data: bytes) -> dict[str, str]:
    """Upload a file, and return its entry for a prompt."""
    file = (await http.call("POST", "/files", json={"filename": filename})).json()
    headers = {"Content-Type": "application/octet-stream"}
    assert (await http.call("PUT", file["uploadUrl"], data=data, headers=headers)).status == 200
    return {"id": file["id"], "filename": file["filename"]}


async def _workspace(http: RawClient, task_id: str) -> RawWorkspace:
    return RawWorkspace(http, (await http.task(task_id))["workspaceId"])


def _report(turn: Turn) -> Steps:
    rows = list(csv.DictReader(turn.read_text(turn.files[0]).splitlines()))
    total = sum(int(row["amount"]) for row in rows)
    return [text(f"{len(rows)} rows"), artifact("report.md", f"# {total}", content_type="text/markdown")]


async def test_a_report_is_made_from_a_file(emulator: Emulator, http: RawClient) -> None:
    """An agent can read an uploaded CSV, and its report can be downloaded."""
    emulator.script(_report)
    file = await _attach(http, "data.csv", b"name,amount\na,3\nb,4\n")

    task_id = await http.create("Add it up", files=[file])
    texts = await http.texts(task_id)
    workspace = await _workspace(http, task_id)
    report = await workspace.call("GET", "report.md")

    assert texts == ["2 rows"]
    assert (report.body, report.headers["Content-Type"]) == (b"# 7", "text/markdown")
    assert await workspace.names() == ["report.md"]


async def test_files_stay_on_the_agent_computer(emulator: Emulator, http: RawClient) -> None:
    """Further turns, and other tasks on the workspace, can read them; a turn lists only its own."""
    files = [await _attach(http, "a.txt", b"A"), await _attach(http, "b.txt", b"B")]
    names = [file["filename"] for file in files]

    def read(turn: Turn) -> Steps:
        return text(f"{turn.files} {turn.read_text(names[0])}")

    emulator.script(read)
    emulator.script(lambda turn: text(f"{turn.files} {[turn.read(f'/code/{name}') for name in names]}"), times=2)

    task_id = await http.create(files=files[:1])
    first = await http.texts(task_id)
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "y", "files": files[1:]})
    second = await http.texts(task_id)
    third = await http.texts(await http.create(workspaceId=(await _workspace(http, task_id)).id))

    assert first == [f"{(names[0],)} A"]
    assert second == [f"{(names[1],)} [b'A', b'B']"]
    assert third == ["() [b'A', b'B']"]


async def test_a_missing_file_cannot_be_read(emulator: Emulator, http: RawClient) -> None:
    """The error lists the existing files under the names that the API gave them."""
    file = await _attach(http, "data.csv", b"")
    emulator.script(lambda turn: text(turn.read_text("/code/data.csv")))

    await http.frames(await http.create(files=[file]))

    with pytest.raises(ExceptionGroup) as caught:
        emulator.check()
    assert isinstance(caught.value.exceptions[0], FileNotFoundError)
    assert file["filename"] in str(caught.value.exceptions[0])


def _greeting(turn: Turn) -> str:
    return f"{turn.prompt} in {turn.workspace_id}"


def _large(turn: Turn) -> Iterator[bytes]:
    return (bytes(1 << 20) for _ in range(len(turn.prompt)))


_CONTENTS: list[tuple[Any, bytes | None]] = [
    ("é", "é".encode()),
    (b"\x00\xff", b"\x00\xff"),
    ([b"a", b"b"], b"ab"),
    ((), b""),
    (_greeting, None),
    (_large, bytes(5 << 20)),
]


@pytest.mark.parametrize(("content", "expected"), _CONTENTS)
async def test_an_artifact_may_have_any_content(
    emulator: Emulator, http: RawClient, content: Any, expected: bytes | None
) -> None:
    """The content of an artifact is text, bytes, an iterable of bytes, or a function of the turn."""
    emulator.script(artifact("a/b.bin", content))
    task_id = await http.create("Write")
    await http.frames(task_id)
    workspace = await _workspace(http, task_id)

    body = (await workspace.call("GET", "a/b.bin")).body

    assert body == (f"Write in {workspace.id}".encode() if expected is None else expected)


async def test_an_artifact_whose_function_fails_is_not_stored(emulator: Emulator, http: RawClient) -> None:
    """The turn fails, `check` raises the error, and no partial artifact is stored."""

    def pieces(turn: Turn) -> Iterator[bytes]:
        yield b"half"
        raise LookupError(turn.prompt)

    emulator.script(artifact("a", pieces))
    task_id = await http.create()

    assert (await http.frames(task_id))[-1].data["status"] == "failed"
    assert await (await _workspace(http, task_id)).names() == []
    with pytest.raises(ExceptionGroup):
        emulator.check()


async def test_artifacts_come_while_the_agent_works(emulator: Emulator, http: RawClient) -> None:
    """Each is stored when its step is played, and replaces an older one with its name."""
    emulator.script(artifact("log", "1"), hold("more"), artifact("log", "12"), artifact("end", ""))
    task_id = await http.create()
    workspace = await _workspace(http, task_id)
    await emulator.reached("more")
    before = (await workspace.names(), (await workspace.call("GET", "log")).body)

    emulator.release("more")
    await http.frames(task_id)

    assert before == (["log"], b"1")
    assert (await workspace.names(), (await workspace.call("GET", "log")).body) == (["log", "end"], b"12")


def test_artifacts_can_be_seen_from_another_thread() -> None:
    """A plain `with` runs the emulator in a thread, and the test sees the artifacts from its own."""
    with Emulator(pace=0) as emulator:
        emulator.script(_report)
        workspace_id = asyncio.run(_run_task(emulator))
        (report,) = emulator.artifacts(workspace_id)
        assert report.read() == b"# 5"
        emulator.check()


async def _run_task(emulator: Emulator) -> str:
    async with aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        task_id = await http.create(files=[await _attach(http, "x.csv", b"amount\n5\n")])
        await http.frames(task_id)
        return (await _workspace(http, task_id)).id
