"""What came back: a whole answer, or a body that is read as it comes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from rebyte_async import _codec
from rebyte_async._transport.translate import is_foreign, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse
    from yarl import URL

    from rebyte_async._transport.stats import Counters

__all__ = ["Answer", "ByteStream"]

_DRAIN = 0.1
"""Seconds that a body which has said everything may take to end, so that its connection can be used again."""


@frozen
class Answer:
    """A successful answer, read to its end."""

    status: int
    body: bytes
    what: str
    """The request, for an error that says what couldn't be read."""

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            DecodeError: It is empty, or no JSON.
        """
        return _codec.parse(self.body, self.what)


@define(eq=False)
class ByteStream:
    """The body of a streaming answer. Own it: `close` it, or its connection stays open."""

    _response: ClientResponse
    _url: URL
    _counters: Counters
    _open: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._counters.open_streams += 1

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers."""
        return self._response.headers

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end of the body. Cancelling loses nothing.

        Raises:
            TransportError: The connection was lost, or silent for too long (`RequestTimeoutError`).
        """
        try:
            data = await self._response.content.readany()
        except Exception as error:
            if not is_foreign(error):
                raise
            failure = translate(error, "GET", self._url)
        else:
            self._counters.bytes_received += len(data)
            return data
        raise failure

    async def finish(self) -> None:
        """Close after everything was said: wait a moment for the body's end, so that the connection can be kept."""
        with suppress(Exception):
            async with asyncio.timeout(_DRAIN):
                while await self.read():
                    pass
        self.close()

    def close(self) -> None:
        """Close the connection, unless the body has ended. A `read` that waits elsewhere fails."""
        if self._open:
            self._open = False
            self._counters.open_streams -= 1
            self._response.close()
