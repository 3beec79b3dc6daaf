"""`/tasks/:id/events`: the event stream of a task's latest prompt.

*Source*: contract §4, observed
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import apply_faults
from rebyte_async.emulator.frames import CutOff, Done, Event, Frame, FrameSink, make_comment
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.prompts import Prompt

_EMPTY_DONE = Done({"status": "succeeded", "lastSeq": -1, "finalResult": ""})
_HEARTBEAT = make_comment("heartbeat")


async def stream(state: State, exchange: Exchange) -> web.StreamResponse:
    """`GET /tasks/:id/events`: every connection gets the turn from its first event, then `done`, then the end."""
    prompts = state.tasks[exchange.params["task_id"]].prompts
    prompt = prompts[max(0, len(prompts) - 1 - exchange.turns_back)]
    exchange.connection.on_lost = exchange.stop
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Request-Id": exchange.request_id})
    response.content_type = "text/event-stream"
    await response.prepare(exchange.request)
    exchange.entry.update(status=response.status)
    send_bytes = apply_faults(exchange.faults, "chunks", response.write)
    if state.formats.stream.retry is not None:
        await send_bytes(f"retry: {state.formats.stream.retry}\n\n".encode())

    async def send(frame: Frame) -> None:
        id_line = b""
        if state.formats.stream.ids and isinstance(frame, Event):
            id_line = f"id: {frame.data.get('eventKey', frame.seq)}\n".encode()
        await send_bytes(id_line + frame.wire)

    try:
        await _replay(state, exchange, prompt, apply_faults(exchange.faults, "frames", send))
    except CutOff as cut:
        await exchange.connection.cut(cut.manner)
    return response


async def list_delegated(state: State, exchange: Exchange) -> web.Response:
    """`GET /tasks/:id/prompts/:promptId/events`: the events of a delegated prompt."""
    prompt = state.tasks[exchange.params["task_id"]].delegated[exchange.params["prompt_id"]]
    return json_response({"promptId": prompt.id, "events": prompt.transcript.events()})


async def _replay(state: State, exchange: Exchange, prompt: Prompt, send: FrameSink) -> None:
    """Send a turn from its first event to its end; the wait for the next frame doesn't poll."""
    if exchange.looks_empty:
        await send(_EMPTY_DONE)
        return
    sent, heartbeat = 0, state.formats.stream.heartbeat
    while True:
        while sent < len(prompt.transcript.frames):
            await send(prompt.transcript.frames[sent])
            sent += 1
        if not prompt.is_open:
            break
        try:
            await asyncio.wait_for(prompt.transcript.changed.wait(), heartbeat)
        except TimeoutError:
            await send(_HEARTBEAT)
    data = {"status": prompt.status, "lastSeq": prompt.transcript.last_seq, "finalResult": prompt.final_result}
    await send(Done(data))


ROUTES = (
    Route("GET", "/v1/tasks/{task_id}/events", "tasks:read", stream),
    Route("GET", "/v1/tasks/{task_id}/prompts/{prompt_id}/events", "tasks:read", list_delegated),
)
