"""Following a turn: all that was said so far, then whatever comes, then how it ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rebyte_async.emulator.stream.frames import Comment, Done

if TYPE_CHECKING:
    from rebyte_async.emulator.state.prompts import Prompt
    from rebyte_async.emulator.stream.sinks import FrameSink


async def follow(prompt: Prompt, sink: FrameSink, heartbeat: float | None) -> None:
    """Send a turn from its first event to its end; nothing is polled, so that waiting costs nothing."""
    sent = 0
    while True:
        while sent < len(prompt.transcript.frames):
            await sink(prompt.transcript.frames[sent])
            sent += 1
        if not prompt.is_open:
            break
        await _wait(prompt, sink, heartbeat)
    await sink(Done(prompt.done()))


async def _wait(prompt: Prompt, sink: FrameSink, heartbeat: float | None) -> None:
    try:
        await asyncio.wait_for(prompt.transcript.changed.wait(), heartbeat)
    except TimeoutError:
        await sink(Comment("heartbeat"))
