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


@frozen
class Forwarded:
    """An application's response to a delivery."""

    task_id: str | None
    status: int | None
    """The status; None if there was no response."""
    error: str | None
    """Why there was no response."""
    seconds: float


@define(eq=False)
class Forwarder:
    """Forwards deliveries to a URL, in the order in which they came."""

    url: str
    _report: Callable[[Forwarded], None]
    """Called after each delivery."""
    _queue: asyncio.Queue[Forwarding] = field(factory=lambda: asyncio.Queue[Forwarding](_MOST_QUEUED), init=False)

    def add(self, delivery: Forwarding) -> None:
        try:
            self._queue.put_nowait(delivery)
        except asyncio.QueueFull:
            self._report(Forwarded(delivery.task_id, None, f"{_MOST_QUEUED} others are queued already", 0))

    async def work(self) -> None:
        """Forward the deliveries of the queue, until this is cancelled."""
        limit = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=limit, skip_auto_headers=_AUTOMATIC) as session:
            while True:
                delivery = await self._queue.get()
                began = time.monotonic()
                status, error = await self._forward(session, delivery)
                self._report(Forwarded(delivery.task_id, status, error, time.monotonic() - began))

    async def _forward(self, session: aiohttp.ClientSession, delivery: Forwarding) -> tuple[int | None, str | None]:
        """Return the status of the application's response, or why there was none."""
        headers = [(name, value) for name, value in delivery.headers if name.lower() not in _CONNECTION_HEADERS]
        try:
            async with session.post(self.url, data=delivery.body, headers=headers, allow_redirects=False) as response:
                return response.status, None
        except TimeoutError:
            return None, f"no response in {_TIMEOUT:g} s"
        except aiohttp.ClientConnectorError:
            return None, "nothing accepts connections there"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, str(error) or type(error).__name__
