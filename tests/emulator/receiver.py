"""A receiver of webhooks, made from aiohttp's server alone."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import define, field, frozen

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Mapping


@frozen
class Received:
    """A delivery as it was received."""

    method: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


@define(eq=False)
class Receiver:
    """Accepts deliveries, and responds with the prepared statuses, then with 200."""

    url: str = ""
    statuses: deque[int] = field(factory=deque[int])
    received: list[Received] = field(factory=list[Received])
    opened: asyncio.Event = field(factory=asyncio.Event)
    arrivals: asyncio.Queue[Received] = field(factory=asyncio.Queue[Received])

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Accept a delivery."""
        delivery = Received(request.method, request.headers, await request.read())
        self.received.append(delivery)
        self.arrivals.put_nowait(delivery)
        await self.opened.wait()
        status = self.statuses.popleft() if self.statuses else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status // 100 == 3 else None)

    @property
    def events(self) -> list[str]:
        """The events received, in order."""
        return [delivery.json()["event"] for delivery in self.received]


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver, None]:
    """Run a receiver on its own port, with TLS if a context is given."""
    receiver = Receiver()
    receiver.opened.set()
    runner = web.ServerRunner(web.Server(receiver, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    receiver.url = f"{'http' if context is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
