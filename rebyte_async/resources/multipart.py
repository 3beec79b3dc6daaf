"""Several uploads as one multipart form of known length.

aiohttp's MultipartWriter knows no length before it has written, and can't be sent again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rebyte_async.resources.sources import Upload

_ESCAPES = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}
"""As browsers escape the names of fields and files (WHATWG, multipart/form-data)."""


@define(eq=False)
class Multipart:
    """A form with one field, repeated for each of its files."""

    _field: str
    _parts: Sequence[Upload]
    _boundary: str = field(factory=lambda: secrets.token_hex(16), init=False)

    @property
    def content_type(self) -> str:
        """The media type, with the boundary."""
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def size(self) -> int:
        """The length of the whole body in bytes."""
        return sum(len(self._head(part)) + part.size + 2 for part in self._parts) + len(self._end)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the body from its start."""
        for part in self._parts:
            yield self._head(part)
            async for chunk in part.chunks():
                yield chunk
            yield b"\r\n"
        yield self._end

    def on_sent(self, count: int) -> None:
        """Report to each part how many of its bytes are sent."""
        for part in self._parts:
            count -= len(self._head(part))
            part.on_sent(max(0, min(count, part.size)))
            count -= part.size + 2

    def _head(self, part: Upload) -> bytes:
        name = part.name.translate(_ESCAPES)
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{self._field}"; filename="{name}"\r\n'
            f"Content-Type: {part.content_type}\r\n\r\n"
        ).encode()

    @property
    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()
