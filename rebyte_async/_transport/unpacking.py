"""Unpacks compressed bodies piece by piece, so that none takes all memory, and knows whether one is whole."""

from __future__ import annotations

import zlib
from typing import Any

from attrs import define, field

PACKED = frozenset({"gzip", "deflate", "br", "zstd"})
"""The content encodings that compress a body; others are a name alone, or a matter of the file's reader."""
_UNPACKED = frozenset({"gzip", "deflate"})
_PIECE = 1024 * 1024  # bytes that are unpacked at once
_AUTO, _RAW = 47, -15  # zlib's window sizes: a header of gzip or zlib, or none


class UnpackingError(Exception):
    """A body that can't be unpacked, or that ends too early."""


@define(eq=False, repr=False)
class Unpacker:
    """Unpacks one body. Call `feed`, then `take` until it gives nothing more, and `finish` at the end of the body."""

    coding: str
    _stream: Any = field(default=None, init=False)
    _waiting: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        if self.coding not in _UNPACKED:
            raise UnpackingError(f"the content encoding {self.coding}, which wasn't asked for")

    def feed(self, data: bytes) -> None:
        """Add bytes as they came."""
        self._waiting += data

    def take(self) -> bytes:
        """Return the next unpacked bytes, at most a mebibyte; empty if there are none before more is fed."""
        while self._waiting:
            if self._stream is None or self._stream.eof:
                if self._stream is not None and self._waiting[:1] != b"\x1f":
                    self._waiting = b""  # padding after the last member of a gzip file
                    break
                has_header = self.coding == "gzip" or self._waiting[0] & 0x0F == zlib.DEFLATED
                self._stream = zlib.decompressobj(_AUTO if has_header else _RAW)
            try:
                data = self._stream.decompress(self._waiting, _PIECE)
            except zlib.error as error:
                raise UnpackingError(f"a body that is no {self.coding}") from error
            self._waiting = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if data:
                return bytes(data)
        return b""

    def finish(self) -> None:
        """Check that the body has its end."""
        if self._stream is not None and not self._stream.eof:
            raise UnpackingError("a compressed body that ends too early")


def unpack_start(body: bytes, coding: str) -> bytes:
    """Return the unpacked beginning of a body, at most a mebibyte; empty if it can't be unpacked."""
    try:
        unpacker = Unpacker(coding)
        unpacker.feed(body)
        return unpacker.take()
    except UnpackingError:
        return b""
