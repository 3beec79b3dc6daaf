"""Follow a task across crashes of this program: its place in the stream is kept in a file.

python examples/resume.py state.json "Build a REST API"     # kill it whenever you like
python examples/resume.py state.json                        # continues after the last event that was handled
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from rebyte_async import AsyncRebyte


def load(path: Path) -> dict[str, str | None] | None:
    """The state that an earlier run has left, if there is any."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save(path: Path, task_id: str, cursor: str | None) -> None:
    """Keep the place. The rename makes it all or nothing."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"task_id": task_id, "cursor": cursor}), encoding="utf-8")
    draft.replace(path)


async def main(path: Path, prompt: str) -> None:
    """Continue with the task of the state file, or start one."""
    async with AsyncRebyte() as client:
        state = load(path)
        if state is None:
            task = await client.tasks.create(prompt)
            state = {"task_id": task.id, "cursor": None}
            save(path, task.id, None)
        task_id = str(state["task_id"])
        async with client.tasks.events(task_id, after=state["cursor"]) as stream:
            async for event in stream:
                print(f"{event.event_type}: {dict(event.payload)}", flush=True)  # deal with the event,
                save(path, task_id, stream.cursor)  # only after the event was handled
        print(f"[{stream.result.status}] {stream.result.final_result}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), " ".join(sys.argv[2:]) or "Build a REST API"))
