"""The agent of a task: takes up its prompts one after the other and plays their scripts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rebyte_async.emulator.script.default import default_script
from rebyte_async.emulator.script.player import ScriptPlayer
from rebyte_async.emulator.webhooks.announce import announce

if TYPE_CHECKING:
    from rebyte_async.emulator.script.player import Steps
    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.prompts import Prompt
    from rebyte_async.emulator.state.tasks import Task


def wake(state: State, task: Task) -> None:
    """See to it that somebody works on a task's prompts."""
    if task.worker is None or task.worker.done():
        task.worker = state.spawn(_work(state, task))


def stop(state: State, task: Task) -> int:
    """End a task's open prompts as canceled; how many there were."""
    prompts = task.open_prompts
    if prompts and task.worker is not None:
        task.worker.cancel()
        task.worker = None
    for prompt in (*prompts, *(prompt for prompt in task.delegated.values() if prompts)):
        prompt.end("canceled", "", state.clock())
    announce(state, task)
    return len(prompts)


async def _work(state: State, task: Task) -> None:
    while (prompt := next(iter(task.open_prompts), None)) is not None:
        prompt.start()
        task.workspace.files.update({file.filename: file for file in prompt.files})
        announce(state, task)
        await _play(ScriptPlayer(state, task, prompt), _script_for(state, prompt))


async def _play(player: ScriptPlayer, steps: Steps) -> None:
    try:
        await player.play(steps)
    except Exception as error:  # noqa: BLE001 - whatever a script's function raises, `check` raises it to the test
        player.state.problems.append(error)
        player.end("failed", f"The script failed: {error!r}")
    else:
        player.end("succeeded", None)


def _script_for(state: State, prompt: Prompt) -> Steps:
    steps = state.scripts.take(prompt.text)
    return partial(default_script, pace=state.settings.pace) if steps is None else steps
