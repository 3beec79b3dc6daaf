"""Read many streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import anyio

from rebyte_async.errors import RebyteError
from rebyte_async.streams.stream import TaskEventStream
from rebyte_async.types.events import TaskEvent

__all__ = ["merge"]


async def merge(*streams: TaskEventStream) -> AsyncGenerator[tuple[str, TaskEvent], None]:
    """Read several streams at once, as one.

    At most one event of each stream waits, and the streams alternate: a busy one doesn't starve the others, and a slow
    consumer slows all of them down. A stream that fails doesn't end the others. The streams are closed at the end,
    when the iteration is cancelled, and when it is closed (`contextlib.aclosing` closes it after a `break`).

    Args:
        *streams: Streams of `client.tasks.events` that nothing else reads from.

    Yields:
        The task's id and the event, in each stream's order.

    Raises:
        ExceptionGroup: One or more streams failed; raised after all others have ended. Each error names its task
            (`task_id`, and a note in its traceback).
    """
    # One slot with a fair queue of readers before it: every stream holds one event at most, and they alternate.
    queue: asyncio.Queue[tuple[str, TaskEvent] | None] = asyncio.Queue(maxsize=1)
    failures: list[Exception] = []

    async def read(stream: TaskEventStream) -> None:
        try:
            async for event in stream:
                await queue.put((stream.task_id, event))
        except Exception as error:  # noqa: BLE001 - an error that ends one stream must not end the others
            if isinstance(error, RebyteError):
                error.task_id = stream.task_id
            error.add_note(f"from the stream of task {stream.task_id}")
            failures.append(error)
        await queue.put(None)

    readers = [asyncio.create_task(read(stream)) for stream in streams]
    open_streams = len(readers)
    try:
        while open_streams:
            item = await queue.get()
            if item is None:
                open_streams -= 1
            else:
                yield item
    finally:
        with anyio.CancelScope(shield=True):  # else a cancelled scope would interrupt the clean-up as well
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            for stream in streams:
                await stream.close()
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(streams)} streams failed", failures)
