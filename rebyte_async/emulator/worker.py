"""The agent of a task: takes up its prompts one after the other and plays their scripts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rebyte_async.emulator.script.plausible import plausible
from rebyte_async.emulator.script.stage import Stage
from rebyte_async.emulator.webhooks.announce import announce

if TYPE_CHECKING:
    from rebyte_async.emulator.script.stage import Steps
    from rebyte_async.emulator.state.prompts import Prompt
    from rebyte_async.emulator.state.tasks import Task
    from rebyte_async.emulator.world import World


def wake(world: World, task: Task) -> None:
    """See to it that somebody works on a task's prompts."""
    if task.worker is None or task.worker.done():
        task.worker = world.spawn(_work(world, task))


def stop(world: World, task: Task) -> int:
    """End a task's open prompts as canceled; how many there were."""
    prompts = task.open_prompts
    if prompts and task.worker is not None:
        task.worker.cancel()
        task.worker = None
    for prompt in (*prompts, *(prompt for prompt in task.delegated.values() if prompts)):
        prompt.end("canceled", "", world.clock())
    announce(world, task)
    return len(prompts)


async def _work(world: World, task: Task) -> None:
    while (prompt := next(iter(task.open_prompts), None)) is not None:
        prompt.start()
        task.workspace.files.update({file.filename: file for file in prompt.files})
        announce(world, task)
        await _play(Stage(world, task, prompt), _script_for(world, prompt))


async def _play(stage: Stage, steps: Steps) -> None:
    try:
        await stage.play(steps)
    except Exception as error:  # noqa: BLE001 - whatever a script's function raises, `check` raises it to the test
        stage.world.problems.append(error)
        stage.end("failed", f"The script failed: {error!r}")
    else:
        stage.end("succeeded", None)


def _script_for(world: World, prompt: Prompt) -> Steps:
    steps = world.scripts.take(prompt.text)
    return partial(plausible, pace=world.settings.pace) if steps is None else steps
