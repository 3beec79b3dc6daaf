"""`rebyte-async run`: outcomes, exit codes, and what reaches the service."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from cli.inline import run_inline
from cli.process import environment, run_command, start_command, start_in_terminal

from rebyte_async.emulator import (
    Drop,
    Match,
    Noise,
    Status,
    cancel,
    delta,
    error,
    fail,
    hold,
    init,
    question,
    raw,
    result,
    succeed,
    text,
    thinking,
    tool_result,
    tool_use,
)

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator, Fault, Step, Turn

SUBMIT = Match("POST", "/tasks")


async def test_a_task_that_completes(emulator: Emulator) -> None:
    """What the agent says and does goes to stdout line by line, the final result once, and the code is 0."""
    emulator.script(
        init(model="claude", cwd="/code"),
        thinking("First I look."),
        delta("I'll take "),
        delta("a look.\nThen I"),
        delta(" fix it."),
        tool_use("Bash", {"command": "ls"}),
        tool_result("a\nb"),
        tool_use("Edit", {"path": "a", "old": "x" * 200}),
        tool_result("no such file", is_error=True),
        error("quota is low"),
        raw("screenshot", url="http://x"),
        delta("Done: 42."),
        result("Done: 42."),
    )
    finished = await run_command("run", "Do it", env=environment(emulator))
    assert (finished.code, finished.err) == (0, "")
    assert finished.lines[0].startswith("task ")
    assert finished.lines[-1].startswith("-- completed in ")
    (task,) = emulator.tasks
    assert finished.lines[1:-1] == [
        f"-- on agent computer {task.workspace_id}",
        "-- claude in /code is ready",
        ". First I look.",
        "I'll take a look.",
        "Then I fix it.",
        "> Bash ls",
        "< a",
        "< b",
        f"> Edit path=a, old={'x' * 79}…",
        "<! no such file",
        "! quota is low",
        "* screenshot http://x",
        "Done: 42.",
    ]


def test_the_final_result_at_the_end(rebyte_emulator: Emulator) -> None:
    """A final result that no text carried is shown at the end; with --quiet it is all there is."""
    rebyte_emulator.script(
        delta("Working."), tool_use("Bash"), tool_result("x"), text("."), succeed("It is 42."), times=2
    )
    env = environment(rebyte_emulator)
    plain, quiet = (run_inline("run", "x", env=env), run_inline("run", "-q", "x", env=env))
    assert plain.lines[-3:-1] == [".", "It is 42."]
    assert (quiet.code, quiet.out, quiet.err) == (0, "It is 42.\n", "")


def test_a_task_that_does_not_complete(rebyte_emulator: Emulator) -> None:
    """A task that failed or was canceled has its own exit code, and one line on stderr."""
    rebyte_emulator.script(delta("I try."), fail("the tests don't pass"), prompt="fail")
    rebyte_emulator.script(delta("I try."), cancel(), prompt="cancel")
    env = environment(rebyte_emulator)
    failed, canceled = (run_inline("run", "fail", env=env), run_inline("run", "cancel", env=env))
    assert (failed.code, canceled.code) == (3, 4)
    assert failed.err == f"error: {failed.lines[0]} failed: the tests don't pass\n"
    assert canceled.err == f"error: {canceled.lines[0]} was canceled\n"


def test_a_refusal(rebyte_emulator: Emulator) -> None:
    """Each kind of refusal has its exit code and its hint on one line of stderr, without a traceback or the key."""
    cases: list[tuple[Fault, int, str]] = [
        (Status(401), 8, "check api_key or REBYTE_API_KEY"),
        (Status(403), 8, "the key may not do this"),
        (Status(404), 9, "it doesn't exist, or not for this key"),
        (Status(429, headers={"Retry-After": "9999"}), 10, "try again later"),
        (Status(400), 11, "A fault was injected."),
    ]
    for number, (fault, _, _) in enumerate(cases):
        rebyte_emulator.faults.add(fault, Match("POST", "/tasks", body=f"case {number}"), times=None)
    runs = [run_inline("run", f"case {number}", env=environment(rebyte_emulator)) for number in range(len(cases))]
    for finished, (_, code, words) in zip(runs, cases, strict=True):
        assert finished.code == code
        assert words in finished.err
        assert finished.err.count("\n") == 1
        assert rebyte_emulator.api_key not in finished.out + finished.err


def test_nothing_listens() -> None:
    """A service that can't be reached is a network error, and nothing was started."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        env = environment(REBYTE_BASE_URL=f"http://127.0.0.1:{unused.getsockname()[1]}/v1", REBYTE_API_KEY="rbk_x")
        finished = run_inline("run", "Do it", env=env)
    assert finished.code == 7
    assert finished.out == ""
    assert "check the network, its proxy, and base_url or REBYTE_BASE_URL" in finished.err
    assert finished.err.count("\n") == 1


def test_a_lost_response_names_the_task_that_may_be_running(rebyte_emulator: Emulator) -> None:
    """When the response to the submit is lost, the command says that a task may be running, and shows which."""
    rebyte_emulator.script(hold())
    rebyte_emulator.faults.add(Drop("after"), SUBMIT)
    finished = run_inline("run", "Do it", env=environment(rebyte_emulator))
    assert finished.code == 6
    first, *others = finished.err.splitlines()
    assert "a task may be running: look at the newest ones before you start it again" in first
    assert len(others) == 1
    assert others[0].startswith("  perhaps this one:  rebyte-async events ")
    assert len(rebyte_emulator.log.select("POST", "/tasks")) == 1


def test_a_lost_response_of_a_next_turn_names_its_task(rebyte_emulator: Emulator) -> None:
    """Where the task is known, the way to look at it is named."""
    run_inline("run", "-q", "First", env=environment(rebyte_emulator))
    task_id = rebyte_emulator.log.select("GET", "/tasks/[^/]+/events")[0].path.split("/")[2]
    rebyte_emulator.faults.add(Drop("after"), Match("POST", "/tasks/[^/]+/prompts"))
    finished = run_inline("run", "Second", "--task-id", task_id, env=environment(rebyte_emulator))
    assert finished.code == 6
    assert finished.err.splitlines()[1:] == [f"  look:  rebyte-async events {task_id}"]


def test_the_time_runs_out(rebyte_emulator: Emulator) -> None:
    """With --timeout the watching ends, the task keeps running, and how to see and to cancel it is said."""
    rebyte_emulator.script(init(), hold())
    finished = run_inline("run", "Do it", "--timeout", "0.5", env=environment(rebyte_emulator))
    task_id = finished.lines[0].removeprefix("task ")
    assert finished.code == 5
    assert finished.err.splitlines() == [
        f"the time ran out after 0.5 s: task {task_id} keeps running",
        f"  watch it again:  rebyte-async events {task_id}",
        f"  cancel it:       rebyte-async cancel {task_id}",
    ]
    assert not rebyte_emulator.log.select("POST", "/tasks/[^/]+/cancel")


def test_the_options_reach_the_service(rebyte_emulator: Emulator) -> None:
    """Every option of a new task is sent under the API's name for it, and the prompt may come from stdin."""
    arguments = ("--executor", "codex", "--model", "m", "--workspace-id", "w", "--github-url", "owner/repo")
    more = ("--branch", "dev", "--skill", "pdf", "--skill", "deep-research")
    rebyte_emulator.faults.add(Status(400), SUBMIT)
    run_inline("run", "-", *arguments, *more, env=environment(rebyte_emulator), stdin="From stdin")
    assert rebyte_emulator.log.select("POST", "/tasks")[0].json() == {
        "prompt": "From stdin",
        "executor": "codex",
        "model": "m",
        "workspaceId": "w",
        "githubUrl": "owner/repo",
        "branchName": "dev",
        "skills": ["pdf", "deep-research"],
    }


def test_the_next_turn_of_a_task(rebyte_emulator: Emulator) -> None:
    """With --task-id the prompt goes to that task, and the new turn is what is shown."""
    rebyte_emulator.script(text("First answer."))
    rebyte_emulator.script(text("Second answer."))
    first = run_inline("run", "First", env=environment(rebyte_emulator))
    task_id = first.lines[0].removeprefix("task ")
    second = run_inline("run", "Second", "--task-id", task_id, "--skill", "pdf", env=environment(rebyte_emulator))
    assert (second.code, second.lines[:2]) == (0, [f"task {task_id}", "Second answer."])
    assert rebyte_emulator.log.select("POST", f"/tasks/{task_id}/prompts")[0].json() == {
        "prompt": "Second",
        "skills": ["pdf"],
    }


def test_lines_for_programs(rebyte_emulator: Emulator) -> None:
    """With --json every line is an object with the same fields, the events as they came, and the end as `done`."""
    rebyte_emulator.script(init(), delta("\x1b[2JHi\x9b"), raw("new_kind", deep={"a": [1]}), succeed("Hi"))
    finished = run_inline("run", "Do it", "--json", env=environment(rebyte_emulator))
    lines = [json.loads(line) for line in finished.lines]
    fields = ["event_type", "seq", "task_id", "prompt_id", "event_key", "timestamp", "payload"]
    assert all(list(line) == fields for line in lines)
    assert [line["event_type"] for line in lines] == ["init", "text", "new_kind", "done"]
    assert lines[2]["payload"] == {"deep": {"a": [1]}}
    assert len({line["prompt_id"] for line in lines}) == 1
    done = lines[-1]["payload"]
    assert (done["status"], done["final_result"], done["last_seq"]) == ("completed", "Hi", lines[2]["seq"])
    assert finished.out.isascii()
    assert "\x1b" not in finished.out


def test_an_error_for_programs(rebyte_emulator: Emulator) -> None:
    """With --json the last line says why there is no end, and stderr says it too."""
    finished = run_inline("run", "Do it", "--json", env=environment(rebyte_emulator, REBYTE_API_KEY="rbk_wrong"))
    (line,) = [json.loads(line) for line in finished.lines]
    assert line["event_type"] == "stopped"
    assert (line["payload"]["error"], line["payload"]["exit_code"]) == ("InvalidAPIKeyError", 8)
    assert finished.code == 8
    assert "rbk_wrong" not in finished.out + finished.err


def test_an_agent_cannot_write_control_sequences(rebyte_emulator: Emulator) -> None:
    """Whatever the agent or its tools say, no control character reaches stdout or stderr, however it is cut."""
    evil = "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\x08\x7f\x00\u202e e\rf"
    rebyte_emulator.script(
        init(model=evil, cwd=evil),
        thinking(evil),
        *[delta(character) for character in evil],
        text(evil),
        tool_use(evil, {evil: evil, "b": [evil]}),
        tool_result(evil),
        error(evil),
        raw("x" + evil, {evil: evil}),
        text(evil),
        fail(evil),
    )
    finished = run_inline("run", "Do it", env=environment(rebyte_emulator))
    assert finished.code == 3
    controls = {c for c in finished.out + finished.err if not c.isprintable() and c != "\n"}
    assert controls == set()
    assert "< abcd e" in finished.lines


async def test_a_question_is_shown_with_its_options(emulator: Emulator) -> None:
    """A question comes with numbered options, and the view continues when it was answered elsewhere."""
    emulator.script(
        question("Which one?", "Red", "Blue"), lambda turn: text(f"Chosen: {turn.answers[0].selected_options}")
    )
    env = environment(emulator)
    async with start_command("run", "Ask", env=env) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(5)]
        assert lines[2:] == ["? Which one?", "?   1. Red", "?   2. Blue"]
        task_id = lines[0].removeprefix("task ")
        answered = await run_command("answer", task_id, "--option", "2", env=env)
        assert (answered.code, answered.err) == (0, "")
        assert await process.stdout.readline() == b"Chosen: (1,)\n"
        assert await process.wait() == 0
    late = await run_command("answer", task_id, "--text", "Green", env=env)
    assert (late.code, late.err) == (9, f"error: task {task_id} waits on no question\n")


_SEVERAL = question("Which one?", "Red", "Blue", also=[question("Which regions?", "eu", "us", multi_select=True)])


def _answers(turn: Turn) -> Step:
    return text(" ".join(f"{list(answer.selected_options)}{answer.custom_response or ''}" for answer in turn.answers))


async def test_several_questions_are_shown_and_answered_by_number(emulator: Emulator) -> None:
    """All questions are shown, and each value of the command names its question; what fits none is wrong usage."""
    emulator.script(_SEVERAL, _answers)
    env = environment(emulator)
    async with start_command("run", "Ask", env=env) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(8)]
        assert lines[2:5] == ["? (1 of 2) Which one?", "?   1. Red", "?   2. Blue"]
        assert lines[5:] == ["? (2 of 2) Which regions?", "?   1. eu", "?   2. us"]
        answer = ("answer", lines[0].removeprefix("task "))
        wrong = {
            ("--option", "1"): "such as 1=1",
            ("--option", "3=1"): "such as 1=3=1",
            ("--option", "1=Green"): "no option of 'Which one?'; it has 1: Red, 2: Blue",
            ("--text", "1=a", "--text", "1=b"): "takes one text",
            ("--option", "1=2"): "answer 2 of 2 needs options, text, or both",
        }
        for options, words in wrong.items():
            refused = await run_command(*answer, *options, env=env)
            assert (refused.code, words in " ".join(refused.err.split())) == (2, True), refused.err
        right = ("--option", "1=2", "--option", "2=us", "--option", "2=1", "--text", "2=!")
        assert (await run_command(*answer, *right, env=env)).code == 0
        assert await process.stdout.readline() == b"[1] [1, 0]!\n"
        assert await process.wait() == 0


async def test_questions_are_asked_in_a_terminal(emulator: Emulator) -> None:
    """Without options the command asks one question after the other, and asks again for a number that is none."""
    emulator.script(_SEVERAL, _answers)
    env = environment(emulator)
    async with start_command("run", "Ask", env=env) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(8)]
        async with start_in_terminal("answer", lines[0].removeprefix("task "), env=env) as terminal:
            await terminal.shows("a number or your own words")
            terminal.press("3\r")
            await terminal.shows("the options are 1 to 2")
            terminal.press("Green\r")
            await terminal.shows("numbers with commas between")
            terminal.press("1, us\r")
            assert await terminal.wait() == 0
        assert await process.stdout.readline() == b"[]Green [0, 1]\n"
        assert await process.wait() == 0


def test_what_cannot_be_right(rebyte_emulator: Emulator) -> None:
    """Wrong usage exits with 2, says why on stderr, and sends nothing."""
    cases = {
        "run": "Missing argument 'PROMPT'",
        "run \t": "PROMPT is empty",
        "run x --json --quiet": "--json and --quiet don't go together",
        "run x --task-id t --model m": "--model: not with --task-id",
        "run x --timeout 0": "--timeout",
        "events ..": "task_id",
        "answer t": "an answer needs --option, --text, or both",
        "nonsense": "No such command",
    }
    env = environment(rebyte_emulator)
    runs = [run_inline(*case.split(" "), env=env) for case in cases]
    for finished, words in zip(runs, cases.values(), strict=True):
        assert finished.code == 2
        assert words in finished.err
        assert "Traceback" not in finished.err
    assert not len(rebyte_emulator.log)


@pytest.mark.parametrize(("argument", "name"), [("-", "stdin"), ("Z\udcfcrich", "PROMPT")])
def test_a_prompt_that_is_no_utf_8(rebyte_emulator: Emulator, argument: str, name: str) -> None:
    """It is refused, for its letters would be lost."""
    finished = run_inline("run", argument, env=environment(rebyte_emulator), stdin="Zürich".encode("cp1252"))
    assert finished.code == 2
    assert f"{name} isn't UTF-8 (byte 2)" in finished.err
    assert not len(rebyte_emulator.log)


@pytest.mark.parametrize("argument", ["-", "Z\udcc3\udcbcrich"])
def test_a_prompt_is_what_its_bytes_are_in_utf_8(rebyte_emulator: Emulator, argument: str) -> None:
    """A wrong locale, by which an argument can't be decoded, and a byte order mark don't change the prompt."""
    finished = run_inline("run", argument, env=environment(rebyte_emulator), stdin="Zürich".encode("utf-8-sig"))
    assert finished.code == 0
    assert rebyte_emulator.log.select("POST", "/tasks")[0].json() == {"prompt": "Zürich"}


def test_no_key() -> None:
    """Without a key the command says what to set, and that the demo needs none."""
    finished = run_inline("run", "x", env=environment())
    assert (finished.code, finished.out) == (2, "")
    assert finished.err == "error: there is no API key: set REBYTE_API_KEY (rebyte-async demo needs none)\n"


def test_an_event_that_cannot_be_read(rebyte_emulator: Emulator) -> None:
    """One unreadable event doesn't end the watching: it is left out, with a warning."""
    rebyte_emulator.script(text("One."), text("Two."))
    rebyte_emulator.faults.add(Noise(after=1))
    finished = run_inline("run", "x", env=environment(rebyte_emulator))
    assert (finished.code, finished.lines[2:4]) == (0, ["One.", "Two."])
    assert finished.err.startswith("warning: left out an event that can't be read: ")
    assert finished.err.count("\n") == 1
