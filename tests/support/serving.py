"""Serve applications on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import web

__all__ = ["serve_aiohttp", "serve_asgi"]


@asynccontextmanager
async def serve_aiohttp(app: web.Application, *, shutdown_timeout: float = 0.1) -> AsyncGenerator[str]:
    """Serve an aiohttp application, and yield its origin."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serve_asgi(app: Any, **options: Any) -> AsyncGenerator[str]:
    """Serve an ASGI application with uvicorn, and yield its origin."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, ws="none", log_level="error", **options)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the server didn't start"
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
