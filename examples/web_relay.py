"""A web service that shows tasks in the browser while the agent works, with aiohttp.

    python examples/web_relay.py --port 8080

One client serves all requests: it is made when the service starts, in its event loop, and closed when it stops. A
browser that loses its connection continues where it was; one that leaves ends its own stream, and the task continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from rebyte_async import AsyncRebyte
from rebyte_async.errors import ConflictError, InvalidRequestError, NotFoundError, RebyteError
from rebyte_async.relay import aiohttp_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CLIENT = web.AppKey("client", AsyncRebyte)
PAGE = Path(__file__).with_suffix(".html")


async def page(_: web.Request) -> web.StreamResponse:
    """`GET /`: the page."""
    return web.FileResponse(PAGE)


async def create(request: web.Request) -> web.StreamResponse:
    """`POST /tasks`: start a task; the body is the prompt."""
    task = await request.app[CLIENT].tasks.create(await request.text())
    return web.json_response({"id": task.id})


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /tasks/ID/events`: relay the task. A real application checks first who may read it."""
    tasks, task_id = request.app[CLIENT].tasks, request.match_info["task_id"]
    return await aiohttp_response(request, lambda after: tasks.events(task_id, after=after))


async def answer(request: web.Request) -> web.StreamResponse:
    """`POST /tasks/ID/answer`: answer the question that waits, with the options that were chosen."""
    document = await request.json()
    await request.app[CLIENT].tasks.answer(request.match_info["task_id"], None, options=document["options"])
    return web.json_response({})


@web.middleware
async def report(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Respond with the errors of the client, and without their details where they are the service's."""
    try:
        return await handler(request)
    except InvalidRequestError as error:
        return web.json_response({"message": str(error)}, status=400)
    except (NotFoundError, ConflictError) as error:  # no such task; no question that waits
        return web.json_response({"message": type(error).__name__}, status=error.status)
    except RebyteError as error:
        return web.json_response({"message": type(error).__name__}, status=502)


async def client_of_app(app: web.Application) -> AsyncIterator[None]:
    """Make the client when the service starts, and close it when it stops."""
    async with AsyncRebyte() as client:
        app[CLIENT] = client
        yield


def make_app() -> web.Application:
    """Put the application together."""
    app = web.Application(middlewares=[report])
    app.router.add_get("/", page)
    app.router.add_post("/tasks", create)
    app.router.add_get("/tasks/{task_id}/events", events)
    app.router.add_post("/tasks/{task_id}/answer", answer)
    app.cleanup_ctx.append(client_of_app)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080)
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port)
