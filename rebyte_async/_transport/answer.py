"""What came back: a whole answer, or a body that is read as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from rebyte_async._transport.origin import shown
from rebyte_async._transport.translate import is_foreign, translate
from rebyte_async._transport.tuning import pause_by_size_alone
from rebyte_async._wire import models

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from aiohttp import ClientResponse
    from yarl import URL

    from rebyte_async._transport.silence import OpenBodies
    from rebyte_async._transport.stats import Counters

__all__ = ["Answer", "ByteStream"]


@frozen
class Answer:
    """A successful answer, read to its end."""

    status: int
    body: bytes = field(repr=False)
    method: str
    """The request's method."""
    _url: URL = field(repr=False)  # a signed one holds an authorization

    @property
    def url(self) -> str:
        """The request's URL without its query."""
        return shown(self._url)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            DecodeError: It is empty, or no JSON.
        """
        return models.parse(self.body, lambda: f"{self.method} {self.url}")


@define(eq=False, weakref_slot=False)
class ByteStream:
    """The body of a streaming answer. Own it: `close` it, or its connection stays open."""

    _response: ClientResponse = field(repr=False)  # shows its request's URL, which may be a signed one
    _url: URL = field(repr=False)
    _counters: Counters
    _open_ones: OpenBodies = field(repr=False)
    """The open bodies of the client, of which this is one while it is open."""
    silence: float | None = None
    """Seconds without a byte that end it; None where aiohttp sees to that, or nobody."""
    _taken: int = field(default=0, init=False)  # of all that came; what is unread is no silence of the server's
    _came: int = field(default=-1, init=False)
    _since: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._counters.open_streams += 1
        pause_by_size_alone(self._response.content)
        self._open_ones.add(self)

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

    @property
    def received(self) -> int:
        """How many bytes have come."""
        return self._response.content.total_bytes

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
            data = await self.coming()
        except Exception as error:
            if not is_foreign(error):
                raise
            failure = translate(error, "GET", self._url)
        else:
            self.took()
            return data
        raise failure

    def coming(self) -> Coroutine[Any, Any, bytes]:
        """The next bytes as they come, with aiohttp's own errors, for whoever tells `took` of them."""
        return self._response.content.readany()

    def took(self) -> None:
        """Note that what had come was read."""
        self._taken = self._response.content.total_bytes

    def is_heard(self, now: float) -> bool:
        """Whether it is worth another look: it has brought something, or may be silent for longer. Else it fails.

        Args:
            now: The event loop's time.
        """
        content = self._response.content
        if content.is_eof() or content.exception() is not None:
            return False
        came = content.total_bytes
        if came > self._came or came > self._taken:
            self._came, self._since = came, now
        elif self._is_cut_off():
            from aiohttp import ClientPayloadError  # noqa: PLC0415 - imported on first use

            content.set_exception(ClientPayloadError("the connection was lost"))
            return False
        elif self.silence is not None and now - self._since >= self.silence:
            from aiohttp import SocketTimeoutError  # noqa: PLC0415 - imported on first use

            content.set_exception(SocketTimeoutError("nothing came for too long"))
            return False
        return True

    def _is_cut_off(self) -> bool:
        """Whether aiohttp has closed the connection and not told the body, as it does where the chunks are garbled."""
        connection = self._response.connection
        return connection is None or connection.transport is None  # gone only when the end of it was dealt with

    def close(self) -> None:
        """Close the connection. A `read` that waits elsewhere fails."""
        if self in self._open_ones:
            self._open_ones.discard(self)
            self._counters.open_streams -= 1
            self._counters.bytes_received += self.received
            self._response.close()
