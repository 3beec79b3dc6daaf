"""Which events were delivered, at a few bytes an event.

An event's identity is its key where it has one, else its number within the turn (contract §4, observed). Numbers are
kept as ranges, and a turn's numbers mostly are one; keys as 64-bit digests, so that two of a hundred thousand
keys are taken for one with a chance of about 1 in 4 billion.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

from rebyte_async import _json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rebyte_async.types.events import TaskEvent

__all__ = ["Seen"]

_RECENT = 256
"""How many digests may wait in a set, which takes ten times the memory, before they join the sorted array."""


class Seen:
    """The identities of the delivered events of one turn, and of the sub-prompts that were followed with it."""

    __slots__ = ("_array", "_nameless", "_recent", "starts", "stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), digests: bytes = b"") -> None:
        pairs = sorted(ranges)
        self.starts = [start for start, _ in pairs]
        """The first number of each range, ascending."""
        self.stops = [stop for _, stop in pairs]
        """One past the last number of each range."""
        self._array = array("Q", digests)
        if sys.byteorder == "big":
            self._array.byteswap()
        self._recent: set[int] = set()
        self._nameless: Counter[int] = Counter()

    def restart(self) -> None:
        """Note that the turn is replayed from its start: events without an identity are told apart by their count."""
        self._nameless.clear()

    def add(self, event: TaskEvent, sub_prompt: str = "") -> bool:
        """Note an event; True when it is new.

        Args:
            event: The event.
            sub_prompt: The sub-prompt that it belongs to, or nothing for the turn itself.
        """
        key, number = event.event_key, event.seq
        if key is not None:
            return self._add_digest(_digest(f"{sub_prompt}\0{key}"))
        if number is None:
            return self._add_nameless(event, sub_prompt)
        if sub_prompt:
            return self._add_digest(_digest(f"{sub_prompt}\0\0{number}"))
        return self._add_number(number)

    def _add_number(self, number: int) -> bool:
        stops = self.stops
        if stops and number == stops[-1]:
            stops[-1] += 1
            return True
        index = bisect_right(self.starts, number) - 1
        if index >= 0 and number < stops[index]:
            return False
        self._insert(index, number)
        return True

    def _insert(self, index: int, number: int) -> None:
        """Put a number behind the range at the index, and close the gap to its neighbours where there is none left."""
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

    def _add_digest(self, digest: int) -> bool:
        if digest in self._recent:
            return False
        index = bisect_left(self._array, digest)
        if index < len(self._array) and self._array[index] == digest:
            return False
        self._recent.add(digest)
        if len(self._recent) > max(_RECENT, len(self._array) >> 4):
            self._settle()
        return True

    def _add_nameless(self, event: TaskEvent, sub_prompt: str) -> bool:
        content = _digest(f"{sub_prompt}\0\0\0{event.event_type}\0{_json.dumps(event.payload)!r}")
        self._nameless[content] += 1
        return self._add_digest(_digest(f"{content}\0{self._nameless[content]}"))

    def _settle(self) -> None:
        self._array = array("Q", sorted(chain(self._array, self._recent)))
        self._recent.clear()

    def digests(self) -> bytes:
        """The digests, ascending, 8 bytes each, little-endian."""
        self._settle()
        values = array("Q", self._array)
        if sys.byteorder == "big":
            values.byteswap()
        return values.tobytes()


def _digest(identity: str) -> int:
    return int.from_bytes(blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
