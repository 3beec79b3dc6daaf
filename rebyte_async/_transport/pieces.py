"""How much is taken off a stream's socket at once, and how much of it waits to be read."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["pause_by_size_alone", "read_in_small_pieces"]

_PIECE = 32 * 1024
"""Bytes: room for the longest TLS record, and more than a live stream brings at once."""


def read_in_small_pieces(transport: Any) -> None:
    """Have asyncio read the socket of one connection in small pieces.

    It makes room for 256 KiB otherwise. With TLS a connection holds that for as long as it lives. Without, a stream
    that nobody reads holds as much of what it brings, and until something that large has been freed whole, glibc takes
    the room from the system and gives it back for every event, which then costs nearly twice as much. asyncio has no
    setting for it, so that what isn't found under the names that it has now stays as it is, as do other loops.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    if tls is None:
        if isinstance(getattr(transport, "max_size", None), int):
            transport.max_size = _PIECE
    elif isinstance(getattr(tls, "_ssl_buffer", None), bytearray) and hasattr(tls, "_ssl_buffer_view"):
        tls.max_size = _PIECE
        tls._ssl_buffer = bytearray(_PIECE)  # noqa: SLF001 - see above
        tls._ssl_buffer_view = memoryview(tls._ssl_buffer)  # noqa: SLF001 - likewise


def pause_by_size_alone(content: Any) -> None:
    """Have aiohttp pause an unread body for its size, and not for the number of its chunks.

    A pause for the number of chunks can leave a mark in aiohttp's parser that outlives the pause (seen in 3.14.5).
    What comes next is then put aside, and when the server closes before it is asked for, as it does behind every
    stream, it is lost: an answer that was whole looks cut. aiohttp has no setting for it, so that what isn't found
    under its name stays as it is.
    """
    if isinstance(getattr(content, "_high_water_chunks", None), int):
        content._high_water_chunks = sys.maxsize  # noqa: SLF001 - see above
