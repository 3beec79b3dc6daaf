"""`rebyte-async tasks`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment, start_in_terminal

from rebyte_async.emulator import Delay, Drop, Match, cancel, fail, hold, text, tool_use

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async.emulator import Emulator

SUBMIT = Match("POST", "/tasks")


def test_a_task_from_create_to_delete(rebyte_emulator: Emulator, tmp_path: Path) -> None:
    """A task is made with files, waited for, given a next turn, shown, shared, and deleted, each with one command."""
    rebyte_emulator.script(text("One."), prompt="First")
    rebyte_emulator.script(tool_use("Bash", {"command": "ls"}), text("Two."), prompt="Second")
    env = environment(rebyte_emulator)
    data = tmp_path / "data.csv"
    data.write_text("a,b\n")
    options = ("--file", str(data), "--skill", "pdf", "--executor", "codex")
    made = run_inline("tasks", "create", "-", *options, "-q", env=env, stdin="First")
    assert (made.code, made.err) == (0, "")
    task_id = made.out.strip()
    body = rebyte_emulator.log.select("POST", "/tasks")[0].json()
    assert (body["prompt"], body["skills"], body["executor"]) == ("First", ["pdf"], "codex")
    assert [file.filename for file in rebyte_emulator.files] == [body["files"][0]["filename"]]

    waited = run_inline("tasks", "wait", task_id, "-q", env=env)
    assert (waited.code, waited.out) == (0, "One.\n")
    prompt = run_inline("tasks", "prompt", task_id, "Second", "--file", str(data), env=env)
    assert prompt.code == 0
    assert prompt.lines[0].startswith("id\t")
    assert prompt.err.startswith("uploaded data.csv (4 bytes in ")
    assert prompt.err.endswith(f"watch it:  rebyte-async events {task_id}\n")
    assert run_inline("tasks", "wait", task_id, "-q", env=env).out == "Two.\n"

    shown = json.loads(run_inline("tasks", "get", task_id, "--json", env=env).out)
    assert (shown["status"], len(shown["prompts"]), shown["final_result"]) == ("completed", 2, "Two.")
    content = run_inline("tasks", "content", task_id, "--events", env=env)
    assert content.lines[1:4] == ["-- turn 1", "-- First", "One."]
    assert content.lines[-3:-1] == ["> Bash ls", "Two."]
    shared = run_inline("tasks", "visibility", task_id, "public", env=env)
    assert shared.lines[0] == "visibility\tpublic"
    assert shared.lines[1].startswith("share_url\thttp")
    deleted = run_inline("tasks", "delete", task_id, env=env)
    assert (deleted.code, deleted.out) == (0, f"task {task_id} is deleted\n")
    assert run_inline("tasks", "get", task_id, env=env).code == 9


def test_lists_have_a_limit_and_say_so(rebyte_emulator: Emulator) -> None:
    """A list ends at its limit, with a note on stderr when there is more; with --all there never is."""
    rebyte_emulator.script(text("x"), times=None)
    env = environment(rebyte_emulator)
    ids = [run_inline("tasks", "create", f"a\tb\x1b[2J{n}", "-q", env=env).out.strip() for n in range(3)]
    some = run_inline("tasks", "list", "--limit", "2", env=env)
    assert [line.split("\t")[0] for line in some.lines] == ids[:0:-1]
    assert all(len(line.split("\t")) == 5 for line in some.lines)
    assert some.out.replace("\n", "").replace("\t", "").isprintable()
    assert some.err == "2 of 3; --all lists them all\n"
    for options in (("--all",), ("--limit", "101"), ()):
        every = run_inline("tasks", "list", "--json", *options, env=env)
        assert [json.loads(line)["id"] for line in every.lines] == ids[::-1]
        assert every.err == ""


def test_how_a_task_ended_is_the_exit_code_of_waiting(rebyte_emulator: Emulator) -> None:
    """Waiting ends with 3 for a failure, 4 for a cancel, 5 when the time ran out, and one line that says so."""
    rebyte_emulator.script(fail("no luck"), prompt="fail")
    rebyte_emulator.script(cancel(), prompt="cancel")
    rebyte_emulator.script(hold(), prompt="hold")
    env = environment(rebyte_emulator)
    for what, code, words in (("fail", 3, "ended as failed"), ("cancel", 4, "canceled"), ("hold", 5, "0.2 s")):
        task_id = run_inline("tasks", "create", what, "-q", env=env).out.strip()
        waited = run_inline("tasks", "wait", task_id, "--timeout", "0.2" if what == "hold" else "20", env=env)
        assert waited.code == code
        assert words in waited.err
        assert waited.err.count("\n") == 1
    canceled = run_inline("tasks", "cancel", task_id, "--json", env=env)
    assert (canceled.code, json.loads(canceled.out)["status"]) == (0, "canceled")


def test_a_lost_answer_points_at_the_list(rebyte_emulator: Emulator) -> None:
    """A create whose response is lost says where to look, and which task it may have made."""
    rebyte_emulator.script(hold())
    rebyte_emulator.faults.add(Drop("after"), SUBMIT)
    finished = run_inline("tasks", "create", "Do it", env=environment(rebyte_emulator))
    assert (finished.code, finished.out) == (6, "")
    first, second = finished.err.splitlines()
    assert "look at the newest ones before you start it again" in first
    assert second.startswith("  perhaps this one:  rebyte-async events ")


def test_a_lost_answer_of_a_next_turn_names_its_task(rebyte_emulator: Emulator) -> None:
    """A prompt whose response is lost says where to look."""
    rebyte_emulator.script(hold(), times=None)
    env = environment(rebyte_emulator)
    task_id = run_inline("tasks", "create", "First", "-q", env=env).out.strip()
    rebyte_emulator.faults.add(Drop("after"), Match("POST", "/tasks/[^/]+/prompts"))
    finished = run_inline("tasks", "prompt", task_id, "Second", env=env)
    assert (finished.code, finished.out) == (6, "")
    assert finished.err.splitlines()[1:] == [f"  look:  rebyte-async events {task_id}"]


def test_a_wrong_address_is_told_from_a_wrong_id(rebyte_emulator: Emulator) -> None:
    """Where not even the tasks are found, the hint is at the address too; where one isn't, at that one alone."""
    env = environment(rebyte_emulator)
    assert "(it doesn't exist, or not for this key)" in run_inline("tasks", "get", "nosuch", env=env).err
    env["REBYTE_BASE_URL"] = rebyte_emulator.url.removesuffix("/v1") + "/v2"
    for command in (("tasks", "list"), ("run", "x"), ("tasks", "create", "x")):
        finished = run_inline(*command, env=env)
        assert finished.code == 9
        assert "or the address is wrong: rebyte-async doctor checks it" in finished.err


def test_what_cannot_be_right(rebyte_emulator: Emulator) -> None:
    """Wrong usage exits with 2 and sends nothing."""
    env = environment(rebyte_emulator)
    for case in (
        "tasks create x --file /does/not/exist",
        "tasks create x --json -q",
        "tasks list --limit 0",
        "tasks visibility t everyone",
        "computers update c",
        "artifacts download w",
        "artifacts download w name --all",
        "artifacts delete w --all",
        "files upload - ",
        "webhooks create https://example.com/x",
        "webhooks create http://example.com/x -e task.completed",
    ):
        finished = run_inline(*case.split(), env=env)
        assert (case, finished.code) == (case, 2)
        assert "Traceback" not in finished.err
    assert not len(rebyte_emulator.log)


async def test_a_table_in_a_terminal(emulator: Emulator) -> None:
    """In a terminal a list is a table as wide as that, in which ids are whole; a narrow one loses columns first."""
    emulator.script(text("x"), times=None)
    env = environment(emulator)
    title = "Build a REST API in Go, with tests, a Dockerfile and a page that explains it all"
    async with start_in_terminal("tasks", "create", title, "-q", env=env) as terminal:
        assert await terminal.wait() == 0
    task_id = terminal.screen[-1]
    assert len(task_id) == 36
    for width, headings in ((120, "ID CREATED EXECUTOR TITLE"), (50, "ID TITLE")):
        async with start_in_terminal("tasks", "list", env=env, width=width) as terminal:
            assert await terminal.wait() == 0
        heading, row = terminal.screen
        assert heading.split() == headings.split()
        assert row.startswith(f"{task_id}  ")
        assert row.endswith("…")
        assert len(row) <= width


async def test_deleting_is_confirmed_in_a_terminal(emulator: Emulator) -> None:
    """In a terminal a deletion is asked about first; a no changes nothing."""
    emulator.script(text("x"), times=None)
    env = environment(emulator)
    task_id = run_id(await _in_terminal(emulator, "tasks", "create", "x", "-q"))
    for answer, code in (("n", 1), ("y", 0)):
        async with start_in_terminal("tasks", "delete", task_id, env=env) as terminal:
            await terminal.shows("[y/N]")
            terminal.press(f"{answer}\r")
            assert await terminal.wait() == code
        assert len(emulator.tasks) == code


async def test_files_are_uploaded_before_a_run(emulator: Emulator, tmp_path: Path) -> None:
    """A run shows in its status line how far an upload is; nothing is started when it is left before its end."""
    emulator.faults.add(Delay(60), Match("PUT"))
    (tmp_path / "data.csv").write_text("a,b\n")
    async with start_in_terminal(
        "run", "x", "--file", str(tmp_path / "data.csv"), env=environment(emulator)
    ) as terminal:
        await terminal.shows("uploading data.csv")
        terminal.press("\x03")
        assert await terminal.wait() == 130
    assert "interrupted: nothing was started" in terminal.screen
    assert not emulator.tasks


async def _in_terminal(emulator: Emulator, *arguments: str) -> list[str]:
    async with start_in_terminal(*arguments, env=environment(emulator)) as terminal:
        assert await terminal.wait() == 0
    return terminal.screen


def run_id(screen: list[str]) -> str:
    """The id that `-q` printed."""
    return screen[-1]
