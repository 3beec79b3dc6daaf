"""Respond with the events of a task in aiohttp's server."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rebyte_async._transport import LazyModule
from rebyte_async._transport.aiohttp_internals import is_server_closing
from rebyte_async.relay._relaying import check_heartbeat, write_all
from rebyte_async.relay._requests import HEADERS, Refusal, Source, open_stream
from rebyte_async.relay._shutdown import watch

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = LazyModule("aiohttp.web")


async def aiohttp_response(request: web.BaseRequest, stream: Source, *, heartbeat: float = 15.0) -> web.StreamResponse:
    """Relay the events of a task to a browser, up to the end of the turn.

        async def events(request: web.Request) -> web.StreamResponse:
            task_id = request.match_info["task_id"]
            return await aiohttp_response(
                request, lambda after: client.tasks.events(task_id, after=after)
            )

    It ends, and closes the stream, as soon as the browser is gone or the application shuts down. The remote task is not
    affected. No more is read than the browser takes.

    Args:
        request: The browser's request.
        stream: A function that opens the stream after a cursor, the browser's `Last-Event-ID`, or None at first; a
            cursor that it refuses (`InvalidRequestError`) becomes a 400. Or the stream itself, made with
            `after=last_event_id(request.headers)`.
        heartbeat: A comment is sent after this many seconds without an event.

    Returns:
        The response to return from the handler: what `sse` describes, or a 204 for a browser that has had the end.

    Raises:
        ConfigurationError: The heartbeat isn't a number above zero.
    """
    heartbeat = check_heartbeat(heartbeat)
    opened = await open_stream(stream, request.headers)
    if isinstance(opened, Refusal):
        return web.Response(status=opened.status, headers=opened.headers, body=opened.body)
    response = web.StreamResponse(headers=HEADERS)
    try:
        with suppress(OSError), watch(lambda: _is_over(request)) as over:  # OSError: the browser is gone
            await response.prepare(request)
            if request.method == "HEAD" or await write_all(opened, heartbeat, over, response.write):
                await response.write_eof()
            elif request.transport is not None:
                request.transport.abort()  # else the server would wait for the browser to take the rest
    finally:
        await opened.aclose()
    return response


def _is_over(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing() or is_server_closing(request)
