"""What came back: a whole answer, or a body that is read as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from rebyte_async import _codec
from rebyte_async._transport.origin import shown
from rebyte_async._transport.pieces import pause_by_size_alone
from rebyte_async._transport.translate import is_foreign, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse
    from yarl import URL

    from rebyte_async._transport.silence import Silence
    from rebyte_async._transport.stats import Counters

__all__ = ["Answer", "ByteStream"]


@frozen
class Answer:
    """A successful answer, read to its end."""

    status: int
    body: bytes
    method: str
    """The request's method."""
    _url: URL

    @property
    def url(self) -> str:
        """The request's URL without its query."""
        return shown(self._url)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            DecodeError: It is empty, or no JSON.
        """
        return _codec.parse(self.body, lambda: f"{self.method} {self.url}")


@define(eq=False)
class ByteStream:
    """The body of a streaming answer. Own it: `close` it, or its connection stays open."""

    _response: ClientResponse
    _url: URL
    _counters: Counters
    _open_ones: set[ByteStream]
    """The open streams of the client, of which this is one while it is open."""
    _silence: Silence | None = None
    """What ends it when nothing comes; None where aiohttp does, or nothing."""

    def __attrs_post_init__(self) -> None:
        self._open_ones.add(self)
        self._counters.open_streams += 1
        pause_by_size_alone(self._response.content)

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

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
            if self._silence is not None:
                self._silence.taken += len(data)
            return data
        raise failure

    def close(self) -> None:
        """Close the connection. A `read` that waits elsewhere fails."""
        if self in self._open_ones:
            self._open_ones.discard(self)
            self._counters.open_streams -= 1
            if self._silence is not None:
                self._silence.stop()
            self._response.close()
