"""Applications that relay tasks, one for each framework and way of use, in their real servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import fastapi
from aiohttp import web
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rebyte_async import AsyncRebyte
from rebyte_async.relay import aiohttp_response, last_event_id, sse, starlette_response
from support.serving import serve_aiohttp, serve_asgi

__all__ = ["APPS", "KINDS", "serve"]

_PATH = "/{task_id}"


def _aiohttp(client: AsyncRebyte, heartbeat: float) -> web.Application:
    async def events(request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["task_id"]
        return await aiohttp_response(
            request, lambda after: client.tasks.events(task_id, after=after), heartbeat=heartbeat
        )

    app = web.Application()
    app.router.add_get(_PATH, events)
    return app


def _aiohttp_stream(client: AsyncRebyte, heartbeat: float) -> web.Application:
    async def events(request: web.Request) -> web.StreamResponse:
        stream = client.tasks.events(request.match_info["task_id"], after=last_event_id(request.headers))
        return await aiohttp_response(request, stream, heartbeat=heartbeat)

    app = web.Application()
    app.router.add_get(_PATH, events)
    return app


def _starlette(client: AsyncRebyte, heartbeat: float) -> Starlette:
    async def events(request: Request) -> Response:
        task_id = request.path_params["task_id"]
        return starlette_response(lambda after: client.tasks.events(task_id, after=after), heartbeat=heartbeat)

    return Starlette(routes=[Route(_PATH, events)])


def _starlette_stream(client: AsyncRebyte, heartbeat: float) -> Starlette:
    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    async def events(request: Request) -> Response:
        stream = client.tasks.events(request.path_params["task_id"], after=last_event_id(request.headers))
        return starlette_response(stream, heartbeat=heartbeat)

    middleware = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return Starlette(routes=[Route(_PATH, events)], middleware=[middleware])


def _starlette_sse(client: AsyncRebyte, heartbeat: float) -> Starlette:
    async def events(request: Request) -> Response:
        stream = client.tasks.events(request.path_params["task_id"], after=last_event_id(request.headers))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(sse(stream, heartbeat=heartbeat), headers=headers, media_type="text/event-stream")

    return Starlette(routes=[Route(_PATH, events)])


def _fastapi(client: AsyncRebyte, heartbeat: float) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get(_PATH)
    async def events(task_id: str) -> Response:
        return starlette_response(lambda after: client.tasks.events(task_id, after=after), heartbeat=heartbeat)

    return app


APPS: dict[str, Callable[[AsyncRebyte, float], Any]] = {
    "aiohttp": _aiohttp,
    "aiohttp with a stream": _aiohttp_stream,
    "Starlette": _starlette,
    "Starlette with a stream and a middleware": _starlette_stream,
    "Starlette with sse": _starlette_sse,
    "FastAPI": _fastapi,
}
KINDS = ["aiohttp", "Starlette"]
"""One for each adapter."""


@asynccontextmanager
async def serve(kind: str, client: AsyncRebyte, *, heartbeat: float = 15.0) -> AsyncGenerator[str]:
    """Serve an application, and yield its origin. A shutdown waits for open responses, as servers do unless asked."""
    app = APPS[kind](client, heartbeat)
    serving = serve_aiohttp(app, shutdown_timeout=60) if kind.startswith("aiohttp") else serve_asgi(app)
    async with serving as origin:
        yield origin
