"""Which events were delivered: in little memory, and as a cursor, from which another stream resumes.

An event's identity is its key where it has one, else its number within the turn (contract §4.2, observed). Numbers are
kept as ranges, mostly a single one; keys as 64-bit digests, so that two of a hundred thousand keys are taken for one
with a chance of about 1 in 4 billion.

A cursor is safe in URLs, file names and JSON. Its form, from left to right with dots between: a version, a checksum of
the task's id, the prompt, the ranges of numbers, the digests of keys, and a checksum of it all.
"""

from __future__ import annotations

import re
import sys
from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from rebyte_async.errors import InvalidRequestError
from rebyte_async.types.events import TaskEvent

_NUMBERS = range(-(1 << 63), 1 << 63)
"""The numbers that are kept as ranges. A longer one is no counter, and Python refuses to print one of any length."""
_NO_NUMBERS: list[int] = []  # shared by all streams without any; never filled
_EMPTY_HASH = blake2b(digest_size=8)
_to_int = int.from_bytes

_FREE = array("Q", [0])  # a free slot of a table
_FIRST_SLOTS = 4  # the size of a new table, a power of two; at most half of a table is ever filled
_LARGE = 1024  # from this size on a full table is doubled; a smaller one grows fourfold, which is less work

_CURSOR_VERSION = "1"
_CURSOR_PARTS = 5  # without the checksum of it all


class DeliveredSet:
    """The identities of the delivered events of one turn, and of the sub-prompts that were followed with it."""

    __slots__ = ("_without_identity", "digests", "starts", "stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), digests: bytes = b"") -> None:
        pairs = sorted(ranges)
        self.starts = [start for start, _ in pairs] or _NO_NUMBERS
        """The first number of each range, ascending."""
        self.stops = [stop for _, stop in pairs] or _NO_NUMBERS
        """One past the last number of each range."""
        self.digests = CompactIntSet(digests)
        # How often each content came without an identity: in this replay of the stream, and in this read apart from it.
        self._without_identity: tuple[Counter[int], Counter[int]] | None = None

    def __bool__(self) -> bool:
        return bool(self.starts or self.digests)

    @property
    def has_events_without_identity(self) -> bool:
        """Whether there are events that only their place in a replay from the start identifies."""
        return self._without_identity is not None

    def restart(self, *, out_of_band: bool = False) -> None:
        """Expect the turn from its start, on the stream or by another read: each counts the same content anew."""
        if self._without_identity is not None:
            self._without_identity[out_of_band].clear()

    def add(self, event: TaskEvent, sub_prompt: str = "", out_of_band: bool = False) -> bool:
        """Add an event of a sub-prompt, or of the turn itself (""); True when it is new."""
        # The number of NULs keeps keys, numbers and contents apart.
        key = event.event_key
        if key is not None:
            identity = f"{sub_prompt}\0{key}"
        elif (number := event.seq) is None:
            identity = self._identify_by_content(event, sub_prompt, out_of_band=out_of_band)
        elif sub_prompt or number not in _NUMBERS:
            identity = f"{sub_prompt}\0\0{number:x}"
        else:
            return self._add_number(number)
        digest = _EMPTY_HASH.copy()  # takes half the time of making one
        digest.update(identity.encode("utf-8", "surrogatepass"))
        return self.digests.add(_to_int(digest.digest(), "little"))

    def _add_number(self, number: int) -> bool:
        stops = self.stops
        if not stops:
            self.starts = [number]
            self.stops = [number + 1]
            return True
        if number == stops[-1]:
            stops[-1] += 1
            return True
        index = bisect_right(self.starts, number) - 1
        if index >= 0 and number < stops[index]:
            return False
        self._insert(index, number)
        return True

    def _insert(self, index: int, number: int) -> None:
        """Add a number after the range at the index, and join ranges between which no gap is left."""
        starts, stops = self.starts, self.stops
        after = index + 1
        if index >= 0 and number == stops[index]:
            stops[index] += 1
        else:
            starts.insert(after, number)
            stops.insert(after, number + 1)
            index, after = after, after + 1
        if after < len(starts) and stops[index] == starts[after]:
            stops[index] = stops[after]
            del starts[after], stops[after]

    def _identify_by_content(self, event: TaskEvent, sub_prompt: str, *, out_of_band: bool) -> str:
        """Identify an event that has neither key nor number by its content, and by how often that has come so far."""
        if self._without_identity is None:
            self._without_identity = (Counter(), Counter())
        counts = self._without_identity[out_of_band]
        content = f"{sub_prompt}\0\0\0{event.event_type}\0{_to_text(event.payload)}".encode("utf-8", "surrogatepass")
        digest = _to_int(blake2b(content, digest_size=8).digest(), "little")
        counts[digest] += 1
        return f"{digest}\0{counts[digest]}"


def _to_text(payload: object) -> str:
    """Write a payload in the same way in every process, whichever library reads its JSON."""
    try:
        return ascii(payload)
    except RecursionError:
        return ""


class CompactIntSet:
    """A set of 64-bit numbers in 16 to 32 bytes each, up to 64 where they are few; a `set` takes 100.

    An open-addressing table. The numbers are digests, which are evenly spread, so that the low bits of each are its
    place in the table. A free slot holds 0, so 0 itself counts as 1.
    """

    __slots__ = ("_free", "_mask", "_table")

    def __init__(self, data: bytes = b"") -> None:
        self._table = _FREE * _FIRST_SLOTS
        self._mask = _FIRST_SLOTS - 1
        self._free = _FIRST_SLOTS // 2  # how many more numbers the table takes before it grows
        for number in _swap_on_big_endian(array("Q", data)):
            self.add(number)

    def __len__(self) -> int:
        return len(self._table) // 2 - self._free

    def add(self, number: int) -> bool:
        if not self._free:
            self._grow()
        number = number or 1
        table, mask = self._table, self._mask
        slot = number & mask
        while found := table[slot]:  # ends: half of the slots are free
            if found == number:
                return False
            slot = (slot + 1) & mask
        table[slot] = number
        self._free -= 1
        return True

    def _grow(self) -> None:
        numbers = self._table
        slots = len(numbers) * (2 if len(numbers) >= _LARGE else 4)
        self._free = slots // 2 - len(numbers) // 2
        mask = self._mask = slots - 1
        table = self._table = _FREE * slots
        for number in filter(None, numbers):
            slot = number & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = number

    def __bytes__(self) -> bytes:
        """Return the numbers, ascending, 8 bytes each, little-endian."""
        return _swap_on_big_endian(array("Q", sorted(filter(None, self._table)))).tobytes()


def _swap_on_big_endian(values: array[int]) -> array[int]:
    """Convert between this machine's byte order and little-endian, in place."""
    if sys.byteorder == "big":
        values.byteswap()
    return values


class CursorPosition(NamedTuple):
    prompt_id: str | None
    delivered: DeliveredSet


def write_cursor(task_id: str, position: CursorPosition) -> str:
    delivered = position.delivered
    ranges = "_".join(f"{start}~{stop}" for start, stop in zip(delivered.starts, delivered.stops, strict=True))
    # The "p" distinguishes an empty prompt id from none.
    prompt = "" if position.prompt_id is None else "p" + _encode(position.prompt_id.encode("utf-8", "surrogatepass"))
    head = ".".join((_CURSOR_VERSION, _checksum(task_id), prompt, ranges, _encode(bytes(delivered.digests))))
    return f"{head}.{_checksum(head)}"


def read_cursor(task_id: str, cursor: str) -> CursorPosition:
    """Read a cursor, unless it is none of this package, is damaged, or is of another task (`InvalidRequestError`)."""
    head, _, check = str(cursor).rpartition(".")
    parts = head.split(".")
    if len(parts) != _CURSOR_PARTS or parts[0] != _CURSOR_VERSION or check != _checksum(head):
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
