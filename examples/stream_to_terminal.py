"""Watch an agent work: its text as it comes, its tools, and how it ended.

    python examples/stream_to_terminal.py "Build a REST API"

Ctrl-C stops watching; the remote task continues.
"""

from __future__ import annotations

import asyncio
import sys

from rebyte_async import AsyncRebyte
from rebyte_async.types import (
    ErrorEvent,
    QuestionEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)


def show(event: TaskEvent) -> None:
    """Print one event. Kinds that aren't named here are passed over: there will be more of them."""
    match event:
        case TextEvent(text=text, is_delta=True):
            print(text, end="", flush=True)
        case TextEvent(text=text):
            print(f"\n{text}")
        case ThinkingEvent(text=text):
            print(f"\n… {text}")
        case ToolUseEvent(name=name, input=arguments):
            print(f"\n→ {name} {arguments}")
        case ToolResultEvent(output=output, is_error=is_error):
            print(f"{'✗' if is_error else '←'} {output}")
        case QuestionEvent(questions=questions):
            for each in questions:
                print(f"\n? {each.question} {[option.label for option in each.options]}")
        case ErrorEvent(message=message):
            print(f"\n! {message}")
        case _:
            pass


async def main(prompt: str) -> None:
    """Create a task and follow its events."""
    async with AsyncRebyte() as client:
        task = await client.tasks.create(prompt)
        print(f"task {task.id}: {task.url}")
        async with client.tasks.events(task.id) as stream:
            async for event in stream:
                show(event)
        print(f"\n[{stream.result.status}] {stream.result.final_result}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Build a REST API"))
