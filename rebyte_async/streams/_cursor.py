"""The place in a stream as an opaque string: which events were delivered, so that the others can follow.

The string is safe in URLs, file names and JSON. Its form, from left to right with dots between: a version, a check
sum of the task's id, the prompt, the ranges of numbers, the digests of keys, and a check sum of it all.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from zlib import crc32

from rebyte_async.errors import InvalidRequestError
from rebyte_async.streams._seen import Seen

__all__ = ["Place", "read_cursor", "write_cursor"]

_VERSION = "1"


class Place(NamedTuple):
    """What a cursor says."""

    prompt_id: str | None
    seen: Seen


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _sum(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def write_cursor(task_id: str, place: Place) -> str:
    """The cursor for a place in a task's stream."""
    ranges = "_".join(f"{start}~{stop}" for start, stop in zip(place.seen.starts, place.seen.stops, strict=True))
    prompt = "" if place.prompt_id is None else "p" + _text(place.prompt_id.encode("utf-8", "surrogatepass"))
    head = ".".join((_VERSION, _sum(task_id), prompt, ranges, _text(place.seen.digests())))
    return f"{head}.{_sum(head)}"


def read_cursor(task_id: str, cursor: str) -> Place:
    """The place that a cursor stands for.

    Raises:
        InvalidRequestError: It is no cursor of this package, is damaged, or is of another task.
    """
    head, _, check = str(cursor).rpartition(".")
    parts = head.split(".")
    if len(parts) != 5 or parts[0] != _VERSION or check != _sum(head):  # noqa: PLR2004 - the five parts of the form
        raise InvalidRequestError("after must be the cursor of a stream of this package, unchanged")
    _, task, prompt, ranges, digests = parts
    if task != _sum(task_id):
        raise InvalidRequestError(f"after is the cursor of another task's stream, not of {task_id!r:.80}")
    try:
        prompt_id = _bytes(prompt[1:]).decode("utf-8", "surrogatepass") if prompt else None
        pairs = [(int(start), int(stop)) for start, stop in re.findall(r"(-?\d+)~(-?\d+)", ranges)]
        return Place(prompt_id, Seen(pairs, _bytes(digests)))
    except ValueError as error:
        raise InvalidRequestError("after must be the cursor of a stream of this package, unchanged") from error
