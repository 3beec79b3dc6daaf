"""The agent of a task: works on its prompts one after the other, by playing their scripts."""

from __future__ import annotations

from rebyte_async.emulator.script.player import ScriptPlayer
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.tasks import Task


def start(state: State, task: Task) -> None:
    """Start the agent of a task, unless it is at work."""
    if task.agent is None or task.agent.done():
        task.agent = state.spawn(_work(state, task))


def cancel(state: State, task: Task) -> int:
    """Stop the agent, end the task's open prompts as canceled, and return how many there were."""
    prompts = task.open_prompts
    # An agent without an open prompt plays late steps, which a cancel doesn't stop. The prompts of delegations end with
    # the turn that they belong to.
    if prompts and task.agent is not None:
        task.agent.cancel()
        task.agent = None
    for prompt in (*prompts, *(prompt for prompt in task.delegated.values() if prompts)):
        prompt.end("canceled", "", state.clock())
    state.deliveries.announce(task)
    return len(prompts)


async def _work(state: State, task: Task) -> None:
    while (prompt := next(iter(task.open_prompts), None)) is not None:
        prompt.status = "running"
        task.workspace.files.update({file.filename: file for file in prompt.files})
        state.deliveries.announce(task)
        player = ScriptPlayer(state, task, prompt, state.deliveries.announce)
        try:
            await player.play(state.scripts.take(prompt.text))
        except Exception as error:  # noqa: BLE001 - `Emulator.check` raises whatever a script's function raises
            state.problems.append(error)
            player.end("failed", f"The script failed: {error!r}")
        else:
            player.end("succeeded", None)
