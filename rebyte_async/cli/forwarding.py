"""Passing deliveries on to a local application, one after the other."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Forwarded", "Forwarder", "Forwarding"]

_OF_THE_CONNECTION = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_MOST_WAITING = 100
_PATIENCE = 30.0


@frozen
class Forwarding:
    """A delivery to pass on: as it came, so that the application can verify it."""

    task_id: str | None
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def passed_on(self) -> list[tuple[str, str]]:
        """Its headers, but for those that are about the connection by which it came."""
        return [(name, value) for name, value in self.headers if name.lower() not in _OF_THE_CONNECTION]


@frozen(kw_only=True)
class Forwarded:
    """What an application said to a delivery."""

    task_id: str | None
    status: int | None
    """Its status; None if it didn't answer."""
    error: str | None
    """Why it didn't."""
    seconds: float


@define(eq=False)
class Forwarder:
    """Passes deliveries on to a URL, in the order in which they came."""

    url: str
    _tell: Callable[[Forwarded], None]
    """Told of each one."""
    _waiting: asyncio.Queue[Forwarding] = field(factory=lambda: asyncio.Queue[Forwarding](_MOST_WAITING), init=False)

    def add(self, delivery: Forwarding) -> None:
        """Pass one on, when it is its turn."""
        try:
            self._waiting.put_nowait(delivery)
        except asyncio.QueueFull:
            self._tell(_failed(delivery, f"{_MOST_WAITING} others wait already", 0))

    async def work(self) -> None:
        """Pass them on, until it is cancelled."""
        limit = aiohttp.ClientTimeout(total=_PATIENCE)
        async with aiohttp.ClientSession(timeout=limit, skip_auto_headers=_AUTOMATIC) as session:
            while True:
                self._tell(await self._pass_on(session, await self._waiting.get()))

    async def _pass_on(self, session: aiohttp.ClientSession, delivery: Forwarding) -> Forwarded:
        begun = time.monotonic()
        request = session.post(self.url, data=delivery.body, headers=delivery.passed_on(), allow_redirects=False)
        try:
            async with request as response:
                seconds = time.monotonic() - begun
                return Forwarded(task_id=delivery.task_id, status=response.status, error=None, seconds=seconds)
        except TimeoutError:
            return _failed(delivery, f"no answer in {_PATIENCE:g} s", time.monotonic() - begun)
        except aiohttp.ClientConnectorError:
            return _failed(delivery, "nothing takes connections there", time.monotonic() - begun)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(delivery, str(error) or type(error).__name__, time.monotonic() - begun)


def _failed(delivery: Forwarding, error: str, seconds: float) -> Forwarded:
    return Forwarded(task_id=delivery.task_id, status=None, error=error, seconds=seconds)
