"""Start several tasks at once and follow all of them as one stream.

python examples/many_tasks.py "Write a haiku" "Write a limerick" "Write a sonnet"
"""

from __future__ import annotations

import asyncio
import sys

from rebyte_async import AsyncRebyte, merge
from rebyte_async.errors import RebyteError
from rebyte_async.types import ToolUseEvent


async def main(prompts: list[str]) -> int:
    """Follow a task for each prompt.

    Returns:
        How many streams failed.
    """
    async with AsyncRebyte() as client:
        async with asyncio.TaskGroup() as group:
            creating = [group.create_task(client.tasks.create(prompt)) for prompt in prompts]
        prompt_of = {task.result().id: prompt for task, prompt in zip(creating, prompts, strict=True)}
        streams = [client.tasks.events(task_id) for task_id in prompt_of]
        failed = 0
        try:
            async for task_id, event in merge(*streams):
                if isinstance(event, ToolUseEvent):
                    print(f"{prompt_of[task_id]}: → {event.name}")
        except* RebyteError as group_of_errors:
            # One group after all others have ended; each error names its task.
            for error in group_of_errors.exceptions:
                print(f"{getattr(error, 'task_id', None)}: {error}", file=sys.stderr)
                failed += 1
        for stream in streams:
            print(f"{prompt_of[stream.task_id]}: [{stream.result.status}] {stream.result.final_result}")
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or ["Write a haiku", "Write a limerick"])))
