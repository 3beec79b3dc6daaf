"""Multipart bodies, read piece by piece: no part is ever in memory as a whole.

aiohttp's own reader doesn't serve here: it strips slashes from the start of filenames, leaves the escapes of browsers
in them, and only warns of a malformed head. It also reads from the connection, past the log and past a fault that has
read the body.

*Source*: RFC 7578, and the HTML standard for how browsers write filenames
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.message import Message
from urllib.parse import unquote

from attrs import define, field, frozen

from rebyte_async.emulator.responses import validation_error

_MAX_HEAD = 16 << 10
_END_OF_HEAD = b"\r\n\r\n"
_PARAM = re.compile(r""";\s*([\w.*-]+)=(?:"((?:\\["\\]|[^"])*)"|([^;\s]*))""")
_ESCAPED = re.compile(r"""\\(["\\])""")
_BROWSER_ESCAPED = re.compile("%(22|0[aAdD])")


@frozen(kw_only=True)
class Part:
    """One part: the fields of its head, and its bytes, which can be read until the next part is asked for."""

    name: str
    filename: str | None
    content_type: str | None
    chunks: AsyncIterator[bytes]


@define(eq=False)
class MultipartReader:
    """Reads the parts of one body."""

    _chunks: AsyncIterator[bytes]
    _delimiter: bytes
    _buffer: bytearray = field(factory=lambda: bytearray(b"\r\n"), init=False)

    @classmethod
    def open(cls, content_type: str, chunks: AsyncIterator[bytes]) -> MultipartReader:
        """Start reading a body, or raise an `ApiError` if it isn't declared as multipart with a boundary."""
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
            raise validation_error(f"Content-Type must be multipart/form-data with a boundary, not {content_type!r}.")
        return cls(chunks, b"\r\n--" + boundary.encode())

    async def parts(self) -> AsyncIterator[Part]:
        """Yield the parts, one after the other, skipping unread bytes; raise an `ApiError` if the body is malformed."""
        await _skip(self._until_delimiter())
        while (end := await self._take(2)) == b"\r\n":
            part = _make_part(await self._head(), self._until_delimiter())
            yield part
            await _skip(part.chunks)
        if end != b"--":
            raise _malformed("a boundary doesn't end its line")
        await _skip(self._chunks)

    async def _until_delimiter(self) -> AsyncIterator[bytes]:
        # The end of the buffer may be the beginning of a delimiter, so that much is held back.
        held_back = len(self._delimiter) - 1
        while (end := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > held_back:
                yield self._cut(len(self._buffer) - held_back)
            await self._fill()
        if end:
            yield self._cut(end)
        self._cut(len(self._delimiter))

    async def _head(self) -> str:
        while (end := self._buffer.find(_END_OF_HEAD)) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise _malformed("the head of a part is too long")
            await self._fill()
        return self._cut(end + len(_END_OF_HEAD)).decode(errors="replace")

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._fill()
        return self._cut(size)

    async def _fill(self) -> None:
        try:
            self._buffer += await anext(self._chunks)
        except StopAsyncIteration:
            raise _malformed("it ends too early") from None

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece


async def _skip(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


def _make_part(head: str, chunks: AsyncIterator[bytes]) -> Part:
    lines = [line.partition(":") for line in head.split("\r\n")]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    found = [match.groups() for match in _PARAM.finditer(headers.get("content-disposition", ""))]
    params = {name.lower(): _decode_param(name, quoted, token) for name, quoted, token in found}
    return Part(
        name=params.get("name", ""),
        filename=params.get("filename*", params.get("filename")),
        content_type=headers.get("content-type"),
        chunks=chunks,
    )


def _decode_param(name: str, quoted: str | None, token: str | None) -> str:
    if name.endswith("*"):
        return unquote((token or "").rpartition("'")[2])
    if quoted is None:
        return token or ""
    return _BROWSER_ESCAPED.sub(lambda match: unquote(match[0]), _ESCAPED.sub(r"\1", quoted))


def _malformed(reason: str) -> Exception:
    return validation_error(f"The multipart body is malformed: {reason}.")
