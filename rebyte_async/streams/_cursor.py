"""The position in a stream as an opaque string: which events were delivered, so that the others can follow.

The string is safe in URLs, file names and JSON. Its form, from left to right with dots between: a version, a checksum
of the task's id, the prompt, the ranges of numbers, the digests of keys, and a checksum of it all.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from zlib import crc32

from rebyte_async.errors import InvalidRequestError
from rebyte_async.streams._dedup import DeliveredSet

_VERSION = "1"
_PARTS = 5  # without the checksum of it all


class CursorPosition(NamedTuple):
    prompt_id: str | None
    delivered: DeliveredSet


def write_cursor(task_id: str, position: CursorPosition) -> str:
    delivered = position.delivered
    ranges = "_".join(f"{start}~{stop}" for start, stop in zip(delivered.starts, delivered.stops, strict=True))
    # The "p" distinguishes an empty prompt id from none.
    prompt = "" if position.prompt_id is None else "p" + _encode(position.prompt_id.encode("utf-8", "surrogatepass"))
    head = ".".join((_VERSION, _checksum(task_id), prompt, ranges, _encode(delivered.digests())))
    return f"{head}.{_checksum(head)}"


def read_cursor(task_id: str, cursor: str) -> CursorPosition:
    """Read the position that a cursor says.

    Raises:
        InvalidRequestError: It is no cursor of this package, is damaged, or is of another task.
    """
    head, _, check = str(cursor).rpartition(".")
    parts = head.split(".")
    if len(parts) != _PARTS or parts[0] != _VERSION or check != _checksum(head):
        raise InvalidRequestError("after must be the cursor of a stream of this package, unchanged")
    _, task, prompt, ranges, digests = parts
    if task != _checksum(task_id):
        raise InvalidRequestError(f"after is the cursor of another task's stream, not of {task_id!r:.80}")
    try:
        prompt_id = _decode(prompt[1:]).decode("utf-8", "surrogatepass") if prompt else None
        pairs = [(int(start), int(stop)) for start, stop in re.findall(r"(-?\d+)~(-?\d+)", ranges)]
        return CursorPosition(prompt_id, DeliveredSet(pairs, _decode(digests)))
    except ValueError as error:
        raise InvalidRequestError("after must be the cursor of a stream of this package, unchanged") from error


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _checksum(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"
