"""What a cursor knows of a set of events: how many they are, and the sums of their numbers' first three powers.

Each identity is hashed to a number of 61 bits. Sums take any order, and grow by an event in constant time. Where a
replay has up to three events more than were delivered, the differences of the sums give a polynomial of which exactly
their numbers are the roots (Newton's identities), so that they are found in one pass, however long the turn is. That
other events give the same sums has a chance of 1 in 2**183.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

Identity = str | int | tuple[int, int]
"""An event's key, else its number, else a hash of its content and how often that has come."""

MAX_LATE = 3
"""How many events may be new among those that were delivered. A fourth would need a fourth sum."""
_PRIME = (1 << 61) - 1
_BITS = 61
_PACKED_BYTES = 23  # three sums of 61 bits


class SetDigest(NamedTuple):
    """A set of events as a cursor knows it. The sums are modulo 2**61 - 1."""

    size: int = 0
    numbers: int = 0
    squares: int = 0
    cubes: int = 0

    def including(self, identities: Iterable[Identity]) -> SetDigest:
        """Return the digest of this set with more events, none of which it has."""
        size, numbers, squares, cubes = self
        for identity in identities:
            number = number_of(identity)
            square = number * number % _PRIME
            size += 1
            numbers += number
            squares += square
            cubes += square * number
        return SetDigest(size, numbers % _PRIME, squares % _PRIME, cubes % _PRIME)

    def find_late(self, shown: SetDigest, identities: Iterable[Identity]) -> list[Identity] | None:
        """Find the events of a larger set that this one lacks, up to three; None where this set isn't a part of it.

        Args:
            shown: The digest of the larger set.
            identities: The larger set.
        """
        missing = shown.size - self.size
        if not 0 <= missing <= MAX_LATE:
            return None
        if missing == 0:
            return [] if shown == self else None
        a, b, c = shown.numbers - self.numbers, shown.squares - self.squares, shown.cubes - self.cubes
        # Six times the polynomial, so that nothing is divided. Where fewer than three are missing, the others are 0.
        linear = 3 * (a * a - b) % _PRIME
        constant = (a * a * a - 3 * a * b + 2 * c) % _PRIME
        late = [
            identity
            for identity in identities
            if not (((6 * (number := number_of(identity)) - 6 * a) * number + linear) * number - constant) % _PRIME
        ]
        return late if self.including(late) == shown else None

    def pack(self) -> bytes:
        packed = (self.numbers << _BITS | self.squares) << _BITS | self.cubes
        return packed.to_bytes(_PACKED_BYTES, "big")

    @classmethod
    def unpack(cls, size: int, data: bytes) -> SetDigest:
        """Read what `pack` wrote. Raises ValueError for what it can't have written."""
        packed = int.from_bytes(data, "big")
        sums = (packed >> 2 * _BITS, packed >> _BITS & _PRIME, packed & _PRIME)
        if max(sums) >= _PRIME or (packed and not size):
            raise ValueError("not a digest")
        return cls(size, *sums)


EMPTY = SetDigest()


def number_of(identity: Identity) -> int:
    """Return an identity's number, which is the same in every process, and never 0."""
    if isinstance(identity, str):
        text = f"k{identity}"
    elif isinstance(identity, int):
        text = f"n{identity:x}"
    else:
        text = f"c{identity[0]}.{identity[1]}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % _PRIME or 1
