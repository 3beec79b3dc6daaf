"""The response of Starlette and FastAPI, which are the application's own: they are imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from rebyte_async._transport import LazyModule
from rebyte_async.errors import ConfigurationError
from rebyte_async.relay._asgi import Receive, Scope, Send, respond
from rebyte_async.relay._relaying import check_heartbeat
from rebyte_async.relay._requests import HEADERS, Source

if TYPE_CHECKING:
    from starlette import responses
else:
    responses = LazyModule("starlette.responses")


def starlette_response(stream: Source, *, heartbeat: float = 15.0) -> responses.Response:
    """Relay the events of a task to a browser, up to the end of the turn, in Starlette or FastAPI.

        @app.get("/tasks/{task_id}/events")
        async def events(task_id: str) -> Response:
            return starlette_response(lambda after: client.tasks.events(task_id, after=after))

    It ends, and closes the stream, as soon as the browser is gone or uvicorn shuts down; other servers end it after
    their own time limit. The remote task is not affected. No more is read than the browser takes.

    Args:
        stream: A function that opens the stream after a cursor, the browser's `Last-Event-ID`, or None at first; a
            cursor that it refuses (`InvalidRequestError`) becomes a 400. It is called when the response begins. Or the
            stream itself, made with `after=last_event_id(request.headers)`.
        heartbeat: A comment is sent after this many seconds without an event.

    Returns:
        The response to return from the endpoint: what `sse` describes, or a 204 for a browser that has had the end.

    Raises:
        ConfigurationError: Starlette isn't installed, or the heartbeat isn't a number above zero.
    """
    heartbeat = check_heartbeat(heartbeat)
    try:
        make = _import_response_class()
    except ImportError as error:
        raise ConfigurationError("starlette_response needs Starlette, which isn't installed") from error
    return make(stream, heartbeat)


@cache
def _import_response_class() -> Callable[[Source, float], responses.Response]:
    from starlette.responses import StreamingResponse  # noqa: PLC0415 - users of other frameworks don't have it

    class RelayResponse(StreamingResponse):
        """Relays a stream. Headers and cookies can be added, and background tasks run, as with any response.

        It derives from Starlette's own, because FastAPI would make JSON of anything else.
        """

        def __init__(self, source: Source, heartbeat: float) -> None:
            super().__init__((), headers=HEADERS)
            self._source = source
            self._heartbeat = heartbeat

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await respond(self._source, self._heartbeat, self.raw_headers, scope, receive, send)
            if self.background is not None:
                await self.background()

    return RelayResponse
