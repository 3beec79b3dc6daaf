"""A set of 64-bit numbers in little memory: 16 to 32 bytes each, where a Python set takes 100."""

from __future__ import annotations

import sys
from array import array

__all__ = ["Digests"]

_FREE = array("Q", [0])
"""A free slot."""
_SLOTS = 2
"""The size of a new table, a power of two; no more than half of a table is ever filled."""


class Digests:
    """Digests, which are evenly spread, so that the low bits of each are its place in a table."""

    __slots__ = ("_count", "_mask", "_table")

    def __init__(self, data: bytes = b"") -> None:
        self._count = 0
        self._mask = _SLOTS - 1
        self._table = _FREE * _SLOTS
        for digest in _swapped(array("Q", data)):
            self.add(digest)

    def __len__(self) -> int:
        return self._count

    def add(self, digest: int) -> bool:
        """Add a digest; True when it is new. 0 counts as 1."""
        digest = digest or 1
        table, mask = self._table, self._mask
        slot = digest & mask
        while found := table[slot]:
            if found == digest:
                return False
            slot = (slot + 1) & mask
        table[slot] = digest
        self._count += 1
        if self._count > mask >> 1:
            self._grow()
        return True

    def _grow(self) -> None:
        digests = self._table
        mask = self._mask = self._mask * 2 + 1
        table = self._table = _FREE * (mask + 1)
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
