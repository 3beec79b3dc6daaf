"""A request as a server hands it over, and what has to be right before it is taken for a delivery."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from anyio import move_on_after
from attrs import frozen

from rebyte_async.webhooks.headers import HeaderBag
from rebyte_async.webhooks.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

__all__ = ["Incoming", "ReadError", "refusal"]

_EXTRA: Mapping[int, Mapping[str, str]] = {405: {"Allow": "POST"}, 503: {"Retry-After": "5"}}


class ReadError(Exception):
    """A body that can't be read to its end: its sender has left, or sends something that is no body."""


@frozen
class Incoming:
    """A request."""

    method: str
    headers: Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
    url: str | None
    """What the request says that its URL is."""
    chunks: AsyncGenerator[bytes]
    """Its body, piece by piece. Raises `ReadError`."""

    async def body(self, longest: int, seconds: float) -> bytes | Receipt:
        """The body as it came, or why there is none.

        Raises:
            ReadError: It can't be read to its end.
        """
        with move_on_after(seconds):
            async with aclosing(self.chunks) as chunks:
                read = bytearray()
                async for chunk in chunks:
                    read += chunk
                    if len(read) > longest:
                        return Receipt(status=413)
                return bytes(read)
        return Receipt(status=408)


def refusal(request: Incoming, longest: int) -> Receipt | None:
    """Why a request can't be a delivery, as far as that is plain before its body is read."""
    if request.method != "POST":
        return Receipt(status=405)
    bag = HeaderBag.of(request.headers)
    coding, length = bag.texts("Content-Encoding"), bag.texts("Content-Length")
    if any(text.lower() != "identity" for text in coding):
        return Receipt(status=415)  # it is the bytes as they were sent that are verified
    if any(text.isdigit() and (len(text) > 15 or int(text) > longest) for text in length):  # noqa: PLR2004 - terabytes
        return Receipt(status=413)
    return None


def extra_headers(status: int) -> Mapping[str, str]:
    """What goes with a status."""
    return _EXTRA.get(status, {})
