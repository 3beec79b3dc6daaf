"""Reads that bear with what goes wrong, since what they are for is worth it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from anyio import move_on_after

from rebyte_async import TaskEventStream
from rebyte_async.cli.exits import explain
from rebyte_async.cli.view.clean import one_line
from rebyte_async.errors import DecodeError, RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rebyte_async import AsyncRebyte
    from rebyte_async.errors import AmbiguousRequestError
    from rebyte_async.resources import TaskRun
    from rebyte_async.types.events import TaskEvent
    from rebyte_async.types.tasks import Task

__all__ = ["LOOK", "Source", "cancel_task", "note_suspects", "readable"]

Source: TypeAlias = "TaskRun | TaskEventStream"

LOOK = 10.0
"""Seconds that a look at what became of a task may take when the command is about to end."""
_UNREADABLE = 10
"""Events in a row that may be unreadable."""
_CANCELS = 5
_CANCEL_PAUSE = 0.5
_CLOCKS = 60.0
"""Seconds that the service's clock may differ from this machine's."""


async def readable(source: Source, warn: Callable[[str], None]) -> AsyncIterator[TaskEvent]:
    """The events of a turn, without the few that can't be read: those that follow are worth having."""
    unreadable = 0
    while True:
        try:
            event = await anext(source)
        except StopAsyncIteration:
            return
        except DecodeError as error:
            unreadable += 1
            started = isinstance(source, TaskEventStream) or source.stream is not None
            if not started or unreadable > _UNREADABLE:
                raise
            warn(f"left out an event that can't be read: {explain(error)}")
        else:
            unreadable = 0
            yield event


async def cancel_task(client: AsyncRebyte, task_id: str) -> Task:
    """Cancel a task until it took, and read it: a cancel that overtakes its own submit is lost."""
    for _ in range(_CANCELS):
        await client.tasks.cancel(task_id)
        if (task := await client.tasks.get(task_id)).is_terminal:
            return task
        await asyncio.sleep(_CANCEL_PAUSE)
    return await client.tasks.get(task_id)


async def note_suspects(
    error: AmbiguousRequestError, client: AsyncRebyte, *, task_id: str | None, seconds: float
) -> None:
    """Note on the error of a submit without an answer what it may have started: in its task, or which new one.

    Args:
        error: The error.
        client: Reads the newest tasks, as far as that can be done soon.
        task_id: The task that was given a next turn; None where a new one was to be made.
        seconds: How long ago the submit began.
    """
    if task_id is not None:
        error.add_note(f"look:  rebyte-async events {task_id}")
        return
    with suppress(RebyteError), move_on_after(LOOK):
        for task in (await client.tasks.list(limit=10)).data:
            made = task.created_at
            if made is not None and abs(time.time() - made.timestamp()) < seconds + _CLOCKS:
                about = one_line(f"{made:%H:%M:%S} UTC {task.title or ''}", 60)
                error.add_note(f"perhaps this one:  rebyte-async events {task.id}  # {about}")
