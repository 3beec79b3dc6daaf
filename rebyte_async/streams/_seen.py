"""Which events were delivered, in little memory.

An event's identity is its key where it has one, else its number within the turn (contract §4, observed). Numbers are
kept as ranges, and a turn's numbers mostly are one; keys as 64-bit digests, so that two of a hundred thousand
keys are taken for one with a chance of about 1 in 4 billion.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

from rebyte_async.streams._digests import Digests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rebyte_async.types.events import TaskEvent

__all__ = ["Seen"]

_NUMBERS = range(-(1 << 63), 1 << 63)
"""The numbers that are kept as ranges. A longer one is no counter, and Python writes out none of any length."""
_NO_NUMBERS: list[int] = []  # for all streams without any; never filled
_EMPTY = blake2b(digest_size=8)
_number = int.from_bytes


class Seen:
    """The identities of the delivered events of one turn, and of the sub-prompts that were followed with it."""

    __slots__ = ("_digests", "_nameless", "starts", "stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), digests: bytes = b"") -> None:
        pairs = sorted(ranges)
        self.starts = [start for start, _ in pairs] or _NO_NUMBERS
        """The first number of each range, ascending."""
        self.stops = [stop for _, stop in pairs] or _NO_NUMBERS
        """One past the last number of each range."""
        self._digests = Digests(digests)
        self._nameless: tuple[Counter[int], Counter[int]] | None = None  # on the stream, and aside

    def __bool__(self) -> bool:
        return bool(self.starts or self._digests)

    @property
    def has_nameless(self) -> bool:
        """Whether there are events without an identity, which only a replay from the start tells apart."""
        return self._nameless is not None

    def restart(self, *, aside: bool = False) -> None:
        """Note that the turn is replayed from its start: events without an identity are told apart by their count.

        Args:
            aside: Whether that is by a read beside the stream.
        """
        if self._nameless is not None:
            self._nameless[aside].clear()

    def add(self, event: TaskEvent, sub_prompt: str = "", aside: bool = False) -> bool:
        """Note an event; True when it is new.

        Args:
            event: The event.
            sub_prompt: The sub-prompt that it belongs to, or nothing for the turn itself.
            aside: Whether it comes from a read beside the stream.
        """
        key = event.event_key
        if key is not None:
            identity = f"{sub_prompt}\0{key}"
        elif (number := event.seq) is None:
            identity = self._count(event, sub_prompt, aside=aside)
        elif sub_prompt or number not in _NUMBERS:
            identity = f"{sub_prompt}\0\0{number:x}"
        else:
            return self._add_number(number)
        digest = _EMPTY.copy()  # half the time of making one
        digest.update(identity.encode("utf-8", "surrogatepass"))
        return self._digests.add(_number(digest.digest(), "little"))

    def _add_number(self, number: int) -> bool:
        stops = self.stops
        if not stops:
            self.starts, self.stops = [number], [number + 1]
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

    def _count(self, event: TaskEvent, sub_prompt: str, *, aside: bool) -> str:
        """The identity of an event that has none: what it says, and how often that has come by now."""
        if self._nameless is None:
            self._nameless = (Counter(), Counter())
        counts = self._nameless[aside]
        said = f"{sub_prompt}\0\0\0{event.event_type}\0{_written(event.payload)}".encode("utf-8", "surrogatepass")
        content = _number(blake2b(said, digest_size=8).digest(), "little")
        counts[content] += 1
        return f"{content}\0{counts[content]}"

    def digests(self) -> bytes:
        """The digests, ascending, 8 bytes each, little-endian."""
        return bytes(self._digests)


def _written(payload: object) -> str:
    """A payload as text: the same in every process, whatever it reads its JSON with."""
    try:
        return ascii(payload)
    except RecursionError:
        return ""
