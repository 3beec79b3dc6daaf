"""A web service that relays the agent's text to its caller as it comes.

    python examples/web_relay.py --port 8080
    curl -N -d "Build a REST API" http://127.0.0.1:8080/ask

One client serves all requests: it is made when the service starts, in its event loop, and closed when it stops. A
caller that goes away ends its own stream and nothing else; the remote task continues.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from rebyte_async import AsyncRebyte
from rebyte_async.errors import InvalidRequestError, RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLIENT = web.AppKey("client", AsyncRebyte)


async def ask(request: web.Request) -> web.StreamResponse:
    """`POST /ask`: the body is the prompt, the answer is what the agent says."""
    client = request.app[CLIENT]
    try:
        task = await client.tasks.create(await request.text())
    except InvalidRequestError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    except RebyteError as error:
        raise web.HTTPBadGateway(text=type(error).__name__) from error
    answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8", "X-Task-Id": task.id})
    await answer.prepare(request)
    try:
        async with client.tasks.events(task.id) as stream:
            async for piece in stream.text():
                await answer.write(piece.encode())
    except RebyteError as error:
        await answer.write(f"\n[{type(error).__name__}]".encode())
    await answer.write_eof()
    return answer


async def client_of_app(app: web.Application) -> AsyncIterator[None]:
    """Make the client when the service starts, and close it when it stops."""
    async with AsyncRebyte() as client:
        app[CLIENT] = client
        yield


async def main(port: int) -> None:
    """Serve until Ctrl-C."""
    app = web.Application()
    app.router.add_post("/ask", ask)
    app.cleanup_ctx.append(client_of_app)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, port = runner.addresses[0][:2]
        print(f"http://{host}:{port}/ask", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().port))
