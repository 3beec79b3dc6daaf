"""Best-effort reads while a command is ending or recovering from an error."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

from anyio import move_on_after

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async._terminal import one_line
from rebyte_async.cli.exits import explain
from rebyte_async.errors import AmbiguousRequestError, DecodeError, RebyteError
from rebyte_async.resources import TaskRun
from rebyte_async.types import TaskEvent

Followable: TypeAlias = "TaskRun | TaskEventStream"

TIME_LIMIT = 10.0  # seconds that reads may take when the command is about to end
_MOST_UNREADABLE = 10  # events in a row that may be unreadable
_CLOCK_TOLERANCE = 60.0  # seconds that the service's clock may differ from this machine's


async def readable_events(source: Followable, warn: Callable[[str], None]) -> AsyncIterator[TaskEvent]:
    """Yield the events of a turn without the few that can't be read: those after them are still worth showing."""
    unreadable = 0
    while True:
        try:
            event = await anext(source)
        except StopAsyncIteration:
            return
        except DecodeError as error:
            unreadable += 1
            is_started = isinstance(source, TaskEventStream) or source.stream is not None
            if not is_started or unreadable > _MOST_UNREADABLE:
                raise
            warn(f"left out an event that can't be read: {explain(error)}")
        else:
            unreadable = 0
            yield event


async def add_candidates(
    error: AmbiguousRequestError, client: AsyncRebyte, *, task_id: str | None, seconds: float
) -> None:
    """Add notes to the error of an ambiguous create, begun `seconds` ago: which task the command may have started.

    `task_id` is the task that was given a next turn; None where a new one was to be created.
    """
    if task_id is not None:
        error.add_note(f"look:  rebyte-async events {task_id}")
        return
    with suppress(RebyteError), move_on_after(TIME_LIMIT):
        for task in (await client.tasks.list(limit=10)).data:
            created = task.created_at
            if created is not None and abs(time.time() - created.timestamp()) < seconds + _CLOCK_TOLERANCE:
                about = one_line(f"{created:%H:%M:%S} UTC {task.title or ''}", 60)
                error.add_note(f"perhaps this one:  rebyte-async events {task.id}  # {about}")
