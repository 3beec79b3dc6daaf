"""Relay a stream: its events as bytes, until it has ended, the server shuts down or the browser is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

import anyio

from rebyte_async import _validate
from rebyte_async.errors import ClientClosedError, ConfigurationError, RebyteError
from rebyte_async.relay._frames import HEARTBEAT, OPENING, make_done, make_event, make_failure
from rebyte_async.relay._shutdown import find_exit, watch
from rebyte_async.streams import TaskEventStream

_log = logging.getLogger("rebyte_async.relay")


def check_heartbeat(heartbeat: float) -> float:
    """Check the setting, in seconds."""
    return _validate.seconds("heartbeat", heartbeat, above_zero=True, error=ConfigurationError)


def sse(stream: TaskEventStream, *, heartbeat: float = 15.0) -> AsyncGenerator[bytes]:
    """Make server-sent events of a stream, for a framework that has no adapter here.

    The response needs the media type `text/event-stream`. Where the framework drops the iterator early, close it
    (`contextlib.aclosing`), which closes the stream as well.

    Args:
        stream: The events of a task. Make it with `after=last_event_id(request.headers)`.
        heartbeat: A comment is sent after this many seconds without an event.

    Yields:
        For each event its JSON (`to_dict`) under an id, the cursor after it; an event `done` at the end of the turn,
        or `failure` if the stream fails, with the class of the error, a message for users, and `retry`: whether the
        browser does right to connect again. Nothing is read ahead of the reader. Under uvicorn it ends without either
        when the server shuts down, also when the client is closed: the browser connects to the next server.

    Raises:
        ConfigurationError: The heartbeat isn't a number above zero.
    """
    return _watched(stream, check_heartbeat(heartbeat))


async def _watched(stream: TaskEventStream, heartbeat: float) -> AsyncGenerator[bytes]:
    with watch(find_exit()) as over:
        async with aclosing(_relay(stream, heartbeat, over)) as frames:
            async for frame in frames:
                yield frame


async def write_all(
    stream: TaskEventStream, heartbeat: float, over: asyncio.Future[None], write: Callable[[bytes], Awaitable[object]]
) -> bool:
    """Write the events to a browser. Once `over` is done, this ends at once, also where a slow browser holds it up.

    Returns:
        Whether the browser took everything that was written. Else the response can't be ended.
    """
    is_writing = False
    with anyio.CancelScope() as scope:
        over.add_done_callback(lambda _: scope.cancel())
        async with aclosing(_relay(stream, heartbeat, over)) as frames:
            async for frame in frames:
                is_writing = True
                try:
                    await write(frame)
                except OSError:  # the browser is gone
                    break
                is_writing = False
    return not is_writing


async def _relay(stream: TaskEventStream, heartbeat: float, over: asyncio.Future[None]) -> AsyncGenerator[bytes]:
    read: asyncio.Task[_Frame] | None = None
    frame = _Frame(OPENING)
    try:
        while True:
            if frame.content:
                yield frame.content
            if frame.is_last or over.done():
                break
            read = read or asyncio.create_task(_read(stream))
            waits_for: set[asyncio.Future[Any]] = {read, over}
            await asyncio.wait(waits_for, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                break
            # A read that takes longer than the heartbeat continues meanwhile.
            frame, read = (read.result(), None) if read.done() else (_Frame(HEARTBEAT), read)
    finally:
        await stream.aclose()
        if read is not None:
            read.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({read})


class _Frame(NamedTuple):
    """A piece of the response."""

    content: bytes
    is_last: bool = False


async def _read(stream: TaskEventStream) -> _Frame:
    """Return the next event, or the end; an end without content where the stream or the client was closed."""
    try:
        event = await anext(stream, None)
    except ClientClosedError:
        return _Frame(b"", is_last=True)
    except RebyteError as error:
        _log.warning("the events of task %s can't be relayed: %s: %s", stream.task_id, type(error).__name__, error)
        return _Frame(make_failure(error, stream.cursor), is_last=True)
    if event is not None:
        return _Frame(make_event(event, stream.cursor))
    return _Frame(b"" if stream.done is None else make_done(stream.done, stream.cursor), is_last=True)
