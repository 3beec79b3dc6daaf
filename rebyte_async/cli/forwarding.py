"""Forwards deliveries to a local application, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
from attrs import define, field, frozen

_CONNECTION_HEADERS = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_MOST_QUEUED = 100
_TIMEOUT = 30.0


@frozen
class Forwarding:
    """A delivery to forward: unchanged, so that the application can verify it."""

    task_id: str | None
    headers: tuple[tuple[str, str], ...]
    body: bytes


@define(eq=False)
class Forwarder:
    """Forwards deliveries to a URL, in the order in which they came."""

    url: str
    _report: Callable[[Forwarding, int | str, float], None]
    """Called after each delivery with the status of the response, or why there was none, and the seconds it took."""
    _queue: asyncio.Queue[Forwarding] = field(factory=lambda: asyncio.Queue[Forwarding](_MOST_QUEUED), init=False)

    def add(self, delivery: Forwarding) -> None:
        try:
            self._queue.put_nowait(delivery)
        except asyncio.QueueFull:
            self._report(delivery, f"{_MOST_QUEUED} others are queued already", 0)

    async def work(self) -> None:
        """Forward the deliveries of the queue, until this is cancelled."""
        limit = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=limit, skip_auto_headers=_AUTOMATIC) as session:
            while True:
                delivery = await self._queue.get()
                began = time.monotonic()
                outcome = await self._forward(session, delivery)
                self._report(delivery, outcome, time.monotonic() - began)

    async def _forward(self, session: aiohttp.ClientSession, delivery: Forwarding) -> int | str:
        """Return the status of the application's response, or why there was none."""
        headers = [(name, value) for name, value in delivery.headers if name.lower() not in _CONNECTION_HEADERS]
        try:
            async with session.post(self.url, data=delivery.body, headers=headers, allow_redirects=False) as response:
                return response.status
        except TimeoutError:
            return f"no response in {_TIMEOUT:g} s"
        except aiohttp.ClientConnectorError:
            return "nothing accepts connections there"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or type(error).__name__
