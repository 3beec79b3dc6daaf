"""Completion in the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.inline import run_inline
from cli.process import environment

from rebyte_async.emulator import Delay, text

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


def complete(emulator: Emulator, *words: str, **more: str) -> list[str]:
    """Return what a shell gets for the last word."""
    asked = {
        "_REBYTE_ASYNC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["rebyte-async", *words]),
        "COMP_CWORD": str(len(words)),
    }
    finished = run_inline(env=environment(emulator, **asked, **more))
    assert (finished.code, finished.err) == (0, "")
    return [line for line in finished.lines if line]


def test_ids_are_completed(rebyte_emulator: Emulator) -> None:
    """Ids of tasks, computers, webhooks, and names of artifacts are asked from the API."""
    rebyte_emulator.script(text("x"), times=None)
    env = environment(rebyte_emulator)
    task_id = run_inline("tasks", "create", "x", "-q", env=env).out.strip()
    computer_id = run_inline("computers", "create", "-q", env=env).out.strip()
    url = ("https://example.com/hook", "-e", "task.failed")
    webhook_id = run_inline("webhooks", "create", *url, "-q", env=env).out.strip()
    rebyte_emulator.put_artifact(computer_id, "report.md", "x")
    assert complete(rebyte_emulator, "events", task_id[:3]) == [f"plain,{task_id}"]
    assert complete(rebyte_emulator, "run", "x", "--workspace-id", computer_id[:3]) == [f"plain,{computer_id}"]
    assert complete(rebyte_emulator, "webhooks", "get", webhook_id[:3]) == [f"plain,{webhook_id}"]
    assert complete(rebyte_emulator, "artifacts", "download", computer_id, "re") == ["plain,report.md"]


def test_completion_is_silent_when_something_is_wrong(rebyte_emulator: Emulator) -> None:
    """Without a key, with a wrong one, or when the service takes too long, nothing is offered and nothing is said."""
    assert complete(rebyte_emulator, "events", "x", REBYTE_API_KEY="") == []
    assert complete(rebyte_emulator, "events", "x", REBYTE_API_KEY="rbk_wrong") == []
    assert complete(rebyte_emulator, "events", "x", REBYTE_BASE_URL="nonsense") == []
    rebyte_emulator.faults.add(Delay(30))
    assert complete(rebyte_emulator, "events", "x") == []


def test_known_executors_are_completed(rebyte_emulator: Emulator) -> None:
    """The executors that the package knows are offered, without a request; any other can be given."""
    assert complete(rebyte_emulator, "run", "x", "--executor", "c") == ["plain,claude", "plain,codex"]
    assert not rebyte_emulator.log


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    """The script to install is printed for each shell."""
    finished = run_inline("completion", shell, env=environment())
    assert finished.code == 0
    assert f"_REBYTE_ASYNC_COMPLETE={shell}_complete" in finished.out
