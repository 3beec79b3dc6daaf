"""A set of 64-bit numbers in little memory: 16 to 32 bytes each, up to 64 where they are few. A set takes 100."""

from __future__ import annotations

import sys
from array import array

__all__ = ["Digests"]

_FREE = array("Q", [0])
"""A free slot."""
_SLOTS = 4
"""The size of a new table, a power of two; no more than half of a table is ever filled."""
_LARGE = 1024
"""The size from which on a table that is half full is doubled; a smaller one grows fourfold, which is less work."""


class Digests:
    """Digests, which are evenly spread, so that the low bits of each are its place in a table."""

    __slots__ = ("_mask", "_room", "_table")

    def __init__(self, data: bytes = b"") -> None:
        self._table = _FREE * _SLOTS
        self._mask = _SLOTS - 1
        self._room = _SLOTS // 2  # how many more the table takes
        for digest in _swapped(array("Q", data)):
            self.add(digest)

    def __len__(self) -> int:
        return len(self._table) // 2 - self._room

    def add(self, digest: int) -> bool:
        """Add a digest; True when it is new. 0 counts as 1."""
        if not self._room:
            self._grow()
        digest = digest or 1
        table, mask = self._table, self._mask
        slot = digest & mask
        while found := table[slot]:
            if found == digest:
                return False
            slot = (slot + 1) & mask
        table[slot] = digest
        self._room -= 1
        return True

    def _grow(self) -> None:
        digests = self._table
        slots = len(digests) * (2 if len(digests) >= _LARGE else 4)
        self._room = slots // 2 - len(digests) // 2
        mask = self._mask = slots - 1
        table = self._table = _FREE * slots
        for digest in filter(None, digests):
            slot = digest & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = digest

    def __bytes__(self) -> bytes:
        """The digests, ascending, 8 bytes each, little-endian."""
        return _swapped(array("Q", sorted(filter(None, self._table)))).tobytes()


def _swapped(values: array[int]) -> array[int]:
    """The values in the other of this machine's and the little-endian byte order."""
    if sys.byteorder == "big":
        values.byteswap()
    return values
