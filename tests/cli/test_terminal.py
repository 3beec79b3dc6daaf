"""The view in a terminal."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from cli.process import environment, start_in_terminal

from rebyte_async.emulator import (
    delta,
    error,
    fail,
    hold,
    init,
    pause,
    question,
    result,
    succeed,
    text,
    thinking,
    tool_result,
    tool_use,
)

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


async def test_text_is_wrapped_by_words_and_shown_once(emulator: Emulator) -> None:
    """Text that comes in pieces looks on the screen as if it had come whole, wrapped at words, at any width."""
    words = [f"word{number} " for number in range(60)]
    widths = (30, 80, 200)
    emulator.script(*map(delta, words), text("x" * 250), times=len(widths))
    for width, screen in zip(
        widths, await asyncio.gather(*(_screen(emulator, width) for width in widths)), strict=True
    ):
        assert len("".join(screen).split("word0")[0]) == len("task on agent computer ") + 2 * 36
        assert " ".join(line for line in screen if line.startswith("word")).split() == "".join(words).split()
        assert "".join(line for line in screen if line.startswith("x")) == "x" * 250
        assert max(map(len, screen)) <= width


async def _screen(emulator: Emulator, width: int) -> list[str]:
    async with start_in_terminal("run", "x", env=environment(emulator), width=width) as terminal:
        assert await terminal.wait() == 0
    return terminal.screen


async def test_everything_an_agent_does(emulator: Emulator) -> None:
    """Calls are on one line with their arguments, results are cut, failures and questions stand out."""
    emulator.script(
        init(model="claude", cwd="/code"),
        thinking("Hm."),
        tool_use("Bash", {"command": "seq 9"}),
        tool_result("\n".join(map(str, range(1, 10)))),
        tool_use("Read", {"path": "a"}, tool_id="a"),
        tool_use("Read", {"path": "b"}, tool_id="b"),
        tool_result("no [red]a[/red]", tool_id="a", is_error=True),
        error("quota is low"),
        question("Which one?", "Red", "Blue"),
    )
    async with start_in_terminal("run", "x", env=environment(emulator)) as terminal:
        await terminal.shows("waiting for an answer")
        task_id = terminal.screen[0].removeprefix("task ")
        assert terminal.screen[1].startswith("on agent computer ")
        assert terminal.screen[2:-1] == [
            "claude · /code",
            "",
            "Hm.",
            "",
            "● Bash seq 9",
            "  └ 1",
            "    2",
            "    3",
            "    4",
            "    … 5 more lines",
            "",
            "● Read a",
            "",
            "● Read b",
            "  └ Read: no [red]a[/red]",
            "",
            "✗ quota is low",
            "",
            "? Which one?",
            "  1. Red",
            "  2. Blue",
            "  The agent waits. Answer from another terminal:",
            f"    rebyte-async answer {task_id} --option 1",
        ]
        terminal.press("\x03")
        assert await terminal.wait() == 130
    assert f"interrupted: task {task_id} keeps running" in terminal.screen


async def test_all_questions_that_are_asked_at_once_are_shown(emulator: Emulator) -> None:
    """Each question has its number and its options, and the command to answer them asks one by one."""
    emulator.script(question("Which one?", "Red", also=[question("A name?")]))
    async with start_in_terminal("run", "x", env=environment(emulator)) as terminal:
        await terminal.shows("waiting for an answer")
        task_id = terminal.screen[0].removeprefix("task ")
        assert terminal.screen[3:-1] == [
            "? (1 of 2) Which one?",
            "  1. Red",
            "? (2 of 2) A name?",
            "  The agent waits. Answer from another terminal:",
            f"    rebyte-async answer {task_id}",
        ]
        terminal.press("\x03")
        assert await terminal.wait() == 130


async def test_the_line_being_written_is_visible(emulator: Emulator) -> None:
    """A line shows before it is complete, with a status below it."""
    emulator.script(delta("Half a li"), hold(), delta("ne is whole."))
    async with start_in_terminal("run", "x", env=environment(emulator)) as terminal:
        await terminal.shows("Half a li")
        assert "writing" in terminal.screen[-1]
        emulator.release()
        assert await terminal.wait() == 0
    assert "Half a line is whole." in terminal.screen


async def test_a_final_result_that_was_not_said_is_below_a_rule(emulator: Emulator) -> None:
    """A final result that differs from the last text is shown as such, with what it cost."""
    emulator.script(
        text("I worked."),
        result("It is 42.\n\n- a\n- b", usage={"input_tokens": 1200, "output_tokens": 7}),
        succeed("Another answer."),
        pause(0),
    )
    async with start_in_terminal("run", "x", env=environment(emulator)) as terminal:
        assert await terminal.wait() == 0
    screen = terminal.screen
    rule = next(number for number, line in enumerate(screen) if " final result " in line)
    assert screen[rule + 1] == "Another answer."
    assert "· 1,200 tokens in, 7 tokens out" in screen[-1]


async def test_a_failure_in_a_terminal(emulator: Emulator) -> None:
    """A failure is said once, by the line on stderr."""
    emulator.script(text("I try."), fail("no luck"))
    async with start_in_terminal("run", "x", env=environment(emulator)) as terminal:
        assert await terminal.wait() == 3
    *_, end, error = filter(None, terminal.screen)  # rich 13 leaves a blank line between them
    assert end.startswith("✗ failed in ")
    assert error.endswith(" failed: no luck")


async def test_ctrl_c_with_cancel_says_that_it_cancels(emulator: Emulator) -> None:
    """With --cancel-on-interrupt, Ctrl-C in a terminal cancels the remote task and says so."""
    emulator.script(init(), hold())
    async with start_in_terminal("run", "x", "--cancel-on-interrupt", env=environment(emulator)) as terminal:
        await terminal.shows("claude")
        terminal.press("\x03")
        assert await terminal.wait() == 130
    assert terminal.screen[-1].startswith("interrupted: task ")
    assert "is canceled" in " ".join(terminal.screen[-2:])
    assert terminal.raw.count("\x1b[?25h") >= 1


async def test_no_color_and_a_dumb_terminal(emulator: Emulator) -> None:
    """With NO_COLOR no color is sent; a terminal that understands no sequences gets none at all."""
    steps = (tool_use("Bash", {"command": "ls"}), tool_result("x", is_error=True), text("`code` **bold**"))
    emulator.script(*steps, times=2)

    async def raw(**more: str) -> str:
        async with start_in_terminal("run", "x", env=environment(emulator, **more)) as terminal:
            assert await terminal.wait() == 0
        return terminal.raw

    colorless, dumb = await asyncio.gather(raw(NO_COLOR="1"), raw(TERM="dumb"))
    styles = {style for styles in re.findall(r"\x1b\[([0-9;]*)m", colorless) for style in styles.split(";")}
    assert styles <= {"0", "1", "2", "3"}
    assert "\x1b" not in dumb
