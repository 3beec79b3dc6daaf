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

    def end_to_end_headers(self) -> list[tuple[str, str]]:
        """Return the headers without those that are about the connection by which the delivery came."""
        return [(name, value) for name, value in self.headers if name.lower() not in _CONNECTION_HEADERS]


@frozen(kw_only=True)
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
            self._report(_failed(delivery, f"{_MOST_QUEUED} others are queued already", 0))

    async def work(self) -> None:
        """Forward the deliveries of the queue, until this is cancelled."""
        limit = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=limit, skip_auto_headers=_AUTOMATIC) as session:
            while True:
                self._report(await self._forward(session, await self._queue.get()))

    async def _forward(self, session: aiohttp.ClientSession, delivery: Forwarding) -> Forwarded:
        begun = time.monotonic()
        request = session.post(
            self.url, data=delivery.body, headers=delivery.end_to_end_headers(), allow_redirects=False
        )
        try:
            async with request as response:
                seconds = time.monotonic() - begun
                return Forwarded(task_id=delivery.task_id, status=response.status, error=None, seconds=seconds)
        except TimeoutError:
            return _failed(delivery, f"no response in {_TIMEOUT:g} s", time.monotonic() - begun)
        except aiohttp.ClientConnectorError:
            return _failed(delivery, "nothing accepts connections there", time.monotonic() - begun)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(delivery, str(error) or type(error).__name__, time.monotonic() - begun)


def _failed(delivery: Forwarding, error: str, seconds: float) -> Forwarded:
    return Forwarded(task_id=delivery.task_id, status=None, error=error, seconds=seconds)
