"""Relay the events of a task to a browser, as server-sent events that its `EventSource` reads.

    async def events(request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["task_id"]
        return await aiohttp_response(
            request, lambda after: client.tasks.events(task_id, after=after)
        )

`starlette_response` does the same for Starlette and FastAPI; `sse` makes the bytes for any other framework. The API key
never leaves the application.
"""

from rebyte_async.relay._aiohttp import aiohttp_response
from rebyte_async.relay._relaying import sse
from rebyte_async.relay._requests import last_event_id
from rebyte_async.relay._starlette import starlette_response

__all__ = ["aiohttp_response", "last_event_id", "sse", "starlette_response"]
