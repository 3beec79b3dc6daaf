"""`/tasks/:id/events`: the event stream of a task's latest prompt.

*Source*: contract, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.router import Route
from rebyte_async.emulator.stream.follow import follow
from rebyte_async.emulator.stream.frames import Done
from rebyte_async.emulator.stream.sinks import CutOff
from rebyte_async.emulator.stream.writer import StreamWriter

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange

_NOTHING = Done({"status": "succeeded", "lastSeq": -1, "finalResult": ""})


async def events(exchange: Exchange) -> web.StreamResponse:
    """`GET /tasks/:id/events`: every connect gets the turn from its first event, then `done`, then the end."""
    prompt = exchange.task().turn(exchange.turns_back)
    writer = await StreamWriter.open(exchange)
    try:
        if exchange.nothing_yet:
            await writer.frames()(_NOTHING)
        else:
            await follow(prompt, writer.frames(), exchange.state.stream.heartbeat)
    except CutOff as cut:
        await exchange.cut(cut.manner)
    return writer.response


ROUTES = (Route("GET", "/v1/tasks/{task_id}/events", "tasks:read", events),)
