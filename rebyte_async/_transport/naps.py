"""Waits that the closing of a client ends."""

from __future__ import annotations

import asyncio

from attrs import define, field

from rebyte_async.errors import ConfigurationError

__all__ = ["Naps"]


@define(eq=False)
class Naps:
    """Sleeps between attempts, which may be minutes: nobody is left in one whose client is closed."""

    _sleepers: set[asyncio.Future[None]] = field(factory=set["asyncio.Future[None]"], init=False, repr=False)
    _closed: str = field(default="", init=False)

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            ConfigurationError: The client is closed, or was meanwhile.
        """
        if self._closed:
            raise ConfigurationError(self._closed)
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await asyncio.wait([sleeper], timeout=seconds)
        finally:
            self._sleepers.discard(sleeper)
        if sleeper.done():
            raise ConfigurationError(self._closed)

    def end(self, why: str) -> None:
        """Wake everyone up, for good."""
        self._closed = why
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
