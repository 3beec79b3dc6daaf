"""Work that goes on when whoever waits for it is cancelled, because its sender has left."""

from __future__ import annotations

import asyncio
from typing import TypeVar

__all__ = ["outcome"]

T = TypeVar("T")


async def outcome(task: asyncio.Task[T]) -> T | None:
    """Wait for a task that somebody else owns.

    A shielded scope wouldn't do: it holds off the cancellations of scopes, and not those of `asyncio.Task.cancel`,
    which servers use.

    Returns:
        Its result; None where its owner cancelled it.
    """
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        mine = asyncio.current_task()
        if not task.cancelled() or (mine is not None and mine.cancelling()):
            raise
        return None
