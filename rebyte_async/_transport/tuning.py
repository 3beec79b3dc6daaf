"""Settings of a body's connection for which asyncio and aiohttp have none.

They are made under the names that are there now (Python 3.11 to 3.14, aiohttp 3.14); where a name isn't, that stays
as it is.
"""

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
    the room from the system and gives it back for every event, which then costs nearly twice as much. Other loops
    stay as they are.
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
    stream, it is lost: an answer that was whole looks cut.
    """
    if isinstance(getattr(content, "_high_water_chunks", None), int):
        content._high_water_chunks = sys.maxsize  # noqa: SLF001 - see above
